"""`python vision_server.py PORT`: a model that is no language model, behind plain HTTP. It says whether the line of
text in a picture is upright (`0`) or upside down (`180`); the model is the one of RapidOCR's package."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy
import onnxruntime
import rapidocr_onnxruntime

MODEL = Path(rapidocr_onnxruntime.__file__).parent / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
SESSION = onnxruntime.InferenceSession(str(MODEL))


def turned(raw: bytes) -> dict[str, object]:
    picture = cv2.imdecode(numpy.frombuffer(raw, numpy.uint8), cv2.IMREAD_COLOR)
    scaled = cv2.resize(picture, (192, 48)).astype("float32").transpose(2, 0, 1) / 127.5 - 1
    (scores,) = SESSION.run(None, {SESSION.get_inputs()[0].name: scaled[None]})
    return {"label": ("0", "180")[int(scores[0].argmax())], "score": float(scores[0].max())}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            status, answer = 200, turned(body)
        except (cv2.error, AttributeError):
            status, answer = 422, {"detail": [{"loc": ["body"], "msg": "this is no picture"}]}
        if self.headers["authorization"] != f"Bearer {os.environ['SERVER_KEY']}":
            status, answer = 401, {"error": f"the key is {os.environ['SERVER_KEY']}"}
        raw = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
