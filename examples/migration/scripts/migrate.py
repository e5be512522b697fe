#!/usr/bin/env python3
"""Moves the old flat rows into customers and orders; rows without an address are set aside."""

import json
import logging
import pathlib
import sqlite3
import sys
from decimal import Decimal

logging.basicConfig(filename="migration.log", level=logging.INFO, format="%(levelname)s %(message)s")


def create(db, schema):
    for table, columns in schema["tables"].items():
        db.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")
    db.execute(f"PRAGMA user_version = {int(schema['version'])}")


def move(db, rows):
    """How many rows were moved and how many were not."""
    skipped = 0
    for row in rows:
        email = row["email"].strip().lower()
        if not email:
            logging.warning("no address: %s", json.dumps(row))
            skipped += 1
            continue
        db.execute("INSERT OR IGNORE INTO customers (name, email) VALUES (?, ?)", (row["customer"], email))
        (customer,) = db.execute("SELECT id FROM customers WHERE email = ?", (email,)).fetchone()
        cents = int(Decimal(row["amount"]) * 100)
        db.execute("INSERT INTO orders (customer, cents) VALUES (?, ?)", (customer, cents))
    return len(rows) - skipped, skipped


def main():
    schema = json.loads(pathlib.Path("config/schema.json").read_text())
    rows = json.loads(pathlib.Path("config/old-rows.json").read_text())
    with sqlite3.connect("results/customers.db") as db:
        create(db, schema)
        moved, skipped = move(db, rows)
        (total,) = db.execute("SELECT sum(cents) FROM orders").fetchone()
    logging.info("moved %d rows, set %d aside, %d cents in all", moved, skipped, total)
    print(f"moved {moved}, set aside {skipped}, total {total} cents")
    return 0 if moved else 1


sys.exit(main())
