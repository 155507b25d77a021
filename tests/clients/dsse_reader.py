"""Verify a DSSE envelope (standard input) with securesystemslib, the library of in-toto and TUF: prints the payload.

Arguments: a public key in PEM, and the id that the envelope gives to it.
"""

import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

path, key_id = sys.argv[1:]
key = SSlibKey.from_crypto(load_pem_public_key(Path(path).read_bytes()), keyid=key_id)
envelope = Envelope.from_dict(json.load(sys.stdin))
assert key_id in envelope.verify([key], 1)
sys.stdout.write(envelope.payload.decode())
