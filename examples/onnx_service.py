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
            rows = json.loads(
                self.rfile.read(int(self.headers["Content-Length"]))
            )  # [[0.1, null], [2.5, 3.0]]
            score, decision = session.run(
                ["score", "decision"], {"X": np.array(rows, dtype=np.float64)}
            )
            status, answer = (
                200,
                {"score": score.tolist(), "decision": decision.tolist()},
            )
        except Exception as error:  # of the request
            status, answer = 400, {"error": str(error)}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


HTTPServer(("127.0.0.1", int(sys.argv[2])), Service).serve_forever()
