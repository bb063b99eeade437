"""llama.cpp's own server, as the package xllamacpp builds it in. Run by the peers' interpreter, which has no Sluice.

`python llama_server.py PORT KEY MODEL NAME SLOTS WHAT`; WHAT is `text`, without an end if the request wants none, or
`vectors`.
"""

import signal
import sys

import xllamacpp  # type: ignore[import-not-found, unused-ignore]


def main(port: str, key: str, model: str, name: str, slots: str, what: str) -> None:
    wanted = xllamacpp.CommonParams()
    wanted.hostnames, wanted.port, wanted.api_keys = ["127.0.0.1"], int(port), [key]
    wanted.model.path, wanted.model_alias = model, {name}
    wanted.n_parallel, wanted.n_ctx = int(slots), 512 * int(slots)
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
    wanted.endpoint_slots = wanted.ctx_shift = True
    if what == "vectors":
        wanted.embedding, wanted.pooling_type = True, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(wanted)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
