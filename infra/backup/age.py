"""Encryption with a passphrase in the format age v1, so that `age -d` opens a backup without Sluice.

https://c2sp.org/age: scrypt of the passphrase opens the file's own key; the content is ChaCha20-Poly1305 in pieces of
64 KiB, whose nonces count them and mark the last. So a piece that is changed, moved or missing is noticed.
"""

import base64
import io
import re
import secrets
from typing import TYPE_CHECKING, BinaryIO

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from infra.backup.errors import BackupRefused

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MAGIC = b"age-encryption.org/v1\n"
STANZA = re.compile(rb"-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n")
BODY = re.compile(rb"([A-Za-z0-9+/]{43})\n")
SEAL = re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")
LONGEST_LINE_BYTES = 100
WORK = 18
"""scrypt's logarithm, as age's own tool has it: 256 MiB and about a second for each guess."""
MOST_WORK = 20
"""1 GiB. A file that asks for more could only be meant to exhaust the memory."""
FILE_KEY_BYTES, NONCE_BYTES, TAG_BYTES = 16, 16, 16
PIECE_BYTES = 64 * 1024
CHANGED = "the backup was cut off or changed after it was written: use another one."
WRONG = "the passphrase does not open this backup."


class Encrypted(io.RawIOBase):
    """Writes to `file` what is written to it, encrypted. Only `close` writes the last piece."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        self._file, self._waiting, self._count = file, bytearray(), 0
        key, salt, nonce = (secrets.token_bytes(n) for n in (FILE_KEY_BYTES, 16, NONCE_BYTES))
        body = ChaCha20Poly1305(_wrapping_key(passphrase, salt, WORK)).encrypt(bytes(12), key, None)
        head = MAGIC + b"-> scrypt %s %d\n%s\n---" % (_base64(salt), WORK, _base64(body))
        file.write(head + b" " + _base64(_seal(key, head).finalize()) + b"\n" + nonce)
        self._cipher = ChaCha20Poly1305(_derived(key, nonce, b"payload"))

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        view = memoryview(data)
        self._waiting += view
        while len(self._waiting) > PIECE_BYTES:  # one that is just full may be the last
            self._put(PIECE_BYTES, last=False)
        return view.nbytes

    def close(self) -> None:
        if not self.closed:
            self._put(PIECE_BYTES, last=True)
        super().close()

    def _put(self, size: int, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._count, last), bytes(self._waiting[:size]), None))
        del self._waiting[:size]
        self._count += 1


class Decrypted(io.RawIOBase):
    """Reads what `file` holds encrypted, from its first byte. Errors of each read: BackupRefused."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        self._file, self._clear, self._count = file, b"", 0
        head = _matched(file, re.compile(re.escape(MAGIC)))[0]
        stanza, body = _matched(file, STANZA), _matched(file, BODY)
        head += stanza[0] + body[0] + b"---"
        seal = _bytes(_matched(file, SEAL)[1])
        if int(stanza[2]) > MOST_WORK:
            raise BackupRefused(CHANGED)
        try:
            wrapping = _wrapping_key(passphrase, _bytes(stanza[1]), int(stanza[2]))
            key = ChaCha20Poly1305(wrapping).decrypt(bytes(12), _bytes(body[1]), None)
        except InvalidTag:
            raise BackupRefused(WRONG) from None
        try:
            _seal(key, head).verify(seal)
        except InvalidSignature:
            raise BackupRefused(CHANGED) from None
        self._cipher = ChaCha20Poly1305(_derived(key, _exactly(file, NONCE_BYTES), b"payload"))
        self._next = _exactly(file, PIECE_BYTES + TAG_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "ReadableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        if not self._clear and (self._next or not self._count):
            self._clear = self._piece()
        size = min(len(view), len(self._clear))
        view[:size], self._clear = self._clear[:size], self._clear[size:]
        return size

    def _piece(self) -> bytes:
        piece, self._next = self._next, _exactly(self._file, PIECE_BYTES + TAG_BYTES)
        try:
            clear = self._cipher.decrypt(_nonce(self._count, last=not self._next), piece, None)
        except InvalidTag:
            raise BackupRefused(CHANGED) from None
        if not clear and self._count:
            raise BackupRefused(CHANGED)  # only an empty content has an empty piece
        self._count += 1
        return clear


def _wrapping_key(passphrase: str, salt: bytes, work: int) -> bytes:
    kdf = Scrypt(salt=MAGIC.rstrip() + b"/scrypt" + salt, length=32, n=1 << work, r=8, p=1)
    return kdf.derive(passphrase.encode())


def _derived(key: bytes, salt: bytes | None, purpose: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=salt, info=purpose).derive(key)


def _seal(key: bytes, head: bytes) -> HMAC:
    seal = HMAC(_derived(key, None, b"header"), SHA256())
    seal.update(head)
    return seal


def _nonce(count: int, last: bool) -> bytes:
    return count.to_bytes(11, "big") + bytes([last])


def _base64(raw: bytes) -> bytes:
    return base64.b64encode(raw).rstrip(b"=")


def _bytes(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4))


def _matched(file: BinaryIO, form: re.Pattern[bytes]) -> re.Match[bytes]:
    found = form.fullmatch(file.readline(LONGEST_LINE_BYTES))
    if found is None:
        raise BackupRefused(CHANGED)
    return found


def _exactly(file: BinaryIO, size: int) -> bytes:
    """As many bytes, or what is left: a connection gives fewer at a time."""
    parts, left = [], size
    while left and (part := file.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
