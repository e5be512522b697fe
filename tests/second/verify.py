#!/usr/bin/env python3
"""verify.py RUN KEY.pub.pem... - a second implementation of what docs/EVIDENCE.md says, with no code of aido's.

Checks the chain, the checkpoints, the seal and every subject of a run's folder against public keys that are trusted.
Exit status: 0 all holds; 1 it does not, and why; 3 what is there holds, but the run is not sealed (yet).
"""
import base64
import hashlib
import json
import pathlib
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

CHECKPOINT = "application/vnd.aido.checkpoint+json"
STATEMENT = "application/vnd.in-toto+json"
KNOWN = {"seal.json", "events.log", "order.log", "plan.json", "stdout.log", "stderr.log", "summary.json", "changes.diff"}


class Fault(Exception):
    pass


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def must(holds, what):
    if not holds:
        raise Fault(what)


def load_key(pem):
    key = serialization.load_pem_public_key(pem)
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256(der), key


def signed(keys, keyid, sig, kind, payload):
    must(keyid in keys, f"signed by a key that is not trusted: {keyid}")
    framed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    try:
        keys[keyid].verify(base64.b64decode(sig, validate=True), framed)
    except (InvalidSignature, ValueError) as e:
        raise Fault(f"a signature of {keyid[:16]} does not hold") from e


def chain(data):
    """The records of a chained file, each held against the one before it."""
    records, prev, debt = [], "0" * 64, []
    for line in filter(None, data.split(b"\n")):
        if sha256(line[:-75]).encode() != line[-66:-2] or line[-75:-66] != b',"hash":"':
            debt.append(line)
            continue
        record, torn = json.loads(line), b"\n".join(debt)
        must((record["v"], record["seq"], record["prev"]) == (1, len(records), prev), f"record {len(records)} does not follow")
        if debt or record["type"] == "torn":
            owns_up = {"bytes": len(torn), "sha256": sha256(torn)}
            must((record["type"], record["data"]) == ("torn", owns_up), f"bytes before record {len(records)} are no record")
        records.append(record)
        prev, debt = record["hash"], []
    return records, b"\n".join(debt)


def checkpoints(keys, run, records, logs):
    """How many records, and how many bytes of each log, checkpoints prove."""
    proven, kept = 0, {}
    for record in records:
        if record["type"] == "key":
            must(load_key(record["data"]["public"].encode())[0] == record["data"]["keyid"], "a key is not what it is called")
        if record["type"] == "output":
            for name, told in record["data"].items():
                kept[name] = told["kept"]
                must(sha256(logs[name][: told["kept"]]) == told["sha256"], f"{name}.log does not begin as record {record['seq']} says")
        if record["type"] == "checkpoint":
            before = records[record["seq"] - 1]
            payload = f'{{"v":1,"run":"{run}","seq":{before["seq"]},"head":"{before["hash"]}"}}'
            signed(keys, record["data"]["keyid"], record["data"]["sig"], CHECKPOINT, payload.encode())
            proven = record["seq"] + 1
    return proven, kept


def place(run, name):
    """Where a subject lies."""
    must(".." not in name.split("/") and not name.startswith("/"), f"a subject leads away: {name}")
    return (run.parent.parent if name == "sandbox.yaml" or name.startswith("outputs/") else run) / name


def seal(keys, run, records):
    envelope = json.loads((run / "seal.json").read_bytes())
    must(envelope["payloadType"] == STATEMENT and len(envelope["signatures"]) == 1, "seal.json is no envelope of ours")
    payload = base64.b64decode(envelope["payload"], validate=True)
    keyid = envelope["signatures"][0]["keyid"]
    signed(keys, keyid, envelope["signatures"][0]["sig"], STATEMENT, payload)
    statement = json.loads(payload)
    said = statement["predicate"]
    must((statement["_type"], statement["predicateType"]) == ("https://in-toto.io/Statement/v1", "urn:aido:run:1"), "it seals something else")
    must(said["run"] == records[0]["data"]["run"], "it is the seal of another run")
    must(said["chain"] == {"head": records[-1]["hash"], "records": len(records)}, "the chain ends elsewhere than the seal says")
    must(said["key"]["id"] == keyid, "the seal names another key than the one that signed it")
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    must(len(subjects) == len(statement["subject"]), "a subject stands there twice")
    must({"events.log", "summary.json"} <= subjects.keys(), "the seal lacks a subject")
    for name, digest in subjects.items():
        path = place(run, name)
        must(path.is_file(), f"{name} is missing")
        must(sha256(path.read_bytes()) == digest, f"{name} was changed")
    for path in run.iterdir():
        must(path.name in KNOWN and (path.name in subjects or path.name == "seal.json"), f"{path.name} was added")
    summary = json.loads((run / "summary.json").read_bytes())
    for name in ("run", "task", "outcome", "enforced", "exit_code", "plan_digest", "image_digest"):
        must(said.get(name) == summary[name], f"the summary says another `{name}` than the seal")
    return f"sealed by {said['closed_by']} with {keyid[:16]}: {len(subjects)} subjects"


def main(folder, *pems):
    run = pathlib.Path(folder).resolve()
    keys = dict(load_key(pathlib.Path(pem).read_bytes()) for pem in pems)
    records, rest = chain((run / "events.log").read_bytes())
    must(records and records[0]["type"] == "begun", "the record has no beginning")
    name = records[0]["data"]["run"]
    must(name == run.name or not re.fullmatch("r[0-9a-f]{12}", run.name), f"this is run {name}")
    logs = {stream: (run / f"{stream}.log").read_bytes() for stream in ("stdout", "stderr")}
    proven, kept = checkpoints(keys, name, records, logs)
    print(f"{len(records)} records, {proven} of them proven by checkpoints; bytes of output proven by them: {kept}")
    if not (run / "seal.json").exists():
        print(f"not sealed; {len(rest)} bytes at the end are no record")
        return 3
    must(not rest, "the record ends inside of a record")
    print(seal(keys, run, records))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except (Fault, KeyError, TypeError, ValueError, OSError) as e:
        print(f"verify.py: {type(e).__name__}: {e}")
        sys.exit(1)
