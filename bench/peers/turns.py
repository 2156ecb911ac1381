"""The protocol of a peer that takes turns with hone: it starts, warms up and says so; then each line of input asks for
one more measurement, which it answers with one line of JSON. The end of the input ends it."""
import json
import sys


def serve(measure):
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(measure()), flush=True)
