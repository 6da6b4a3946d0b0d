"""Answer rows of numbers with their scores and decisions: python onnx_service.py detector.onnx 8000."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])


class Service(BaseHTTPRequestHandler):
    def do_POST(self):
        try:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            X = np.array(json.loads(body), dtype=np.float64)  # [[0.1, null]]
            both = [a.tolist() for a in session.run(["score", "decision"], {"X": X})]
            status, answer = 200, {"score": both[0], "decision": both[1]}
        except Exception as error:  # of the request
            status, answer = 400, {"error": str(error)}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


HTTPServer(("127.0.0.1", int(sys.argv[2])), Service).serve_forever()
