"""A DNS server on loopback, by UDP and TCP, whose records and faults a test sets."""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dns import flags, message, rcode, rdatatype, rrset
from dns.name import Name, from_text

UDP_BYTES = 512


@dataclass
class Zone:
    """`records`: lines `NAME TYPE DATA`. `silent`: names that get no answer; `*`: all. `failing`: that get SERVFAIL."""

    records: list[str] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)  # `NAME TYPE`
    by_tcp: int = 0

    def reply(self, wire: bytes) -> message.Message | None:
        query = message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append(f"{name} {rdatatype.to_text(question.rdtype)}")
        if {"*", name} & self.silent:
            return None
        answer = message.make_response(query)
        answer.flags |= flags.AA | flags.RA
        if name in self.failing:
            answer.set_rcode(rcode.SERVFAIL)
            return answer
        if not self._fill(answer, question.name, question.rdtype):
            answer.set_rcode(rcode.NXDOMAIN)
        return answer

    def _fill(self, answer: message.Message, name: Name, kind: rdatatype.RdataType) -> bool:
        """→ whether there is anything at the name or below it."""
        known = False
        for line in self.records:
            owner, of, data = line.split(" ", 2)
            at = from_text(owner)
            known |= at.is_subdomain(name)
            if at == name and rdatatype.from_text(of) in (kind, rdatatype.CNAME):
                answer.answer.append(rrset.from_text(at, 60, "IN", of, data))
                if of == "CNAME" and kind != rdatatype.CNAME:
                    self._fill(answer, from_text(data), kind)
        return known


def lookup_seconds(zone: Zone) -> float:
    """How long an answer is waited for: short only where a name gets none."""
    return 2.0 if zone.silent else 30.0


@contextmanager
def dns_server(zone: Zone) -> Iterator[str]:
    """Yields `ADDRESS:PORT`."""

    class Datagram(socketserver.DatagramRequestHandler):
        def handle(self) -> None:
            if (answer := zone.reply(self.rfile.read())) is None:
                return
            wire = answer.to_wire()
            if len(wire) > UDP_BYTES:
                answer.answer, answer.flags = [], answer.flags | flags.TC
                wire = answer.to_wire()
            self.wfile.write(wire)

    class Stream(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            zone.by_tcp += 1
            (length,) = struct.unpack("!H", self.rfile.read(2))
            if (answer := zone.reply(self.rfile.read(length))) is not None:
                wire = answer.to_wire()
                self.wfile.write(struct.pack("!H", len(wire)) + wire)

    class Tcp(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads = True, True

    with Tcp(("127.0.0.1", 0), Stream) as tcp, socketserver.UDPServer(tcp.server_address, Datagram) as udp:
        threads = [threading.Thread(target=one.serve_forever, args=(0.01,)) for one in (tcp, udp)]
        for thread in threads:
            thread.start()
        try:
            yield f"127.0.0.1:{tcp.server_address[1]}"
        finally:
            for one in (tcp, udp):
                one.shutdown()
            for thread in threads:
                thread.join()
