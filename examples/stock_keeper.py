#!/usr/bin/env python3
"""A stock keeper's program beside an outpost agent: it keeps its own SQLite database of the stock lines of a store by following the
agent's feed of changes, counts stock by recording edits, and waits until central has them. The standard library is enough.

    stock_keeper.py follow                      keep the database up to date until it is stopped
    stock_keeper.py show                        print the stock
    stock_keeper.py count LINE_ID QUANTITY      record a count, and wait until central has it
    stock_keeper.py sync                        sync now, and say how far it is

Settings: OUTPOST_URL (http://127.0.0.1:8787), OUTPOST_TOKEN_FILE (agent.token of the agent's data folder), STOCK_DATABASE.
"""
import json
import os
import sqlite3
import sys
import time
import urllib.error
import urllib.request
import uuid

URL = os.environ.get("OUTPOST_URL", "http://127.0.0.1:8787")
TOKEN_FILE = os.environ.get("OUTPOST_TOKEN_FILE", "/var/lib/outpost/agent.token")
DATABASE = os.environ.get("STOCK_DATABASE", "stock.sqlite")
# What it keeps, of which tables.
COLUMNS = {"item": ["item_name"], "item_line": ["store_ID", "item_ID", "batch", "quantity"]}


class Refused(Exception):
    """The agent said no; `code` is stable, the text is for people."""

    def __init__(self, error):
        super().__init__(f"{error['message']} [{error['code']}] {error['advice']}")
        self.code = error["code"]


def ask(verb, body=b"", options=None, on_progress=None):
    """Asks the agent. The answer is lines of JSON: progress as it goes on, then one result or one error."""
    with open(TOKEN_FILE, encoding="ascii") as file:
        headers = {"Authorization": "Bearer " + file.read().strip()}
    if options:
        headers["Outpost-Options"] = json.dumps(options)
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    request = urllib.request.Request(f"{URL}/v0/{verb}", data=body, headers=headers, method="POST")
    try:
        answer = urllib.request.urlopen(request, timeout=120)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        for line in answer:
            said = json.loads(line)
            if "progress" in said and on_progress:
                on_progress(said["progress"])
            elif "error" in said:
                raise Refused(said["error"])
            elif "result" in said:
                return said["result"]
    raise ConnectionError("the agent ended before it had answered")


def opened():
    database = sqlite3.connect(DATABASE)
    for table, columns in COLUMNS.items():
        database.execute(f"CREATE TABLE IF NOT EXISTS {table} (id PRIMARY KEY, {', '.join(columns)})")
    database.execute("CREATE TABLE IF NOT EXISTS feed (cursor TEXT)")
    return database


def follow_once(database, wait_s):
    """Takes the next page of the feed into the database, with its cursor in the same transaction. Whether there is more at once."""
    found = database.execute("SELECT cursor FROM feed").fetchone()
    asked = {"limit": 500, "wait_s": wait_s, **({"after": found[0]} if found else {})}
    try:
        page = ask("changes", asked)
    except Refused as error:
        if error.code not in ("cursor_too_old", "cursor_of_other_copy"):
            raise
        # What is here may be of another time: everything is read anew.
        with database:
            database.execute("DELETE FROM feed")
        return True
    with database:
        for table in COLUMNS if not found else ():
            database.execute(f"DELETE FROM {table}")
        for change in page["changes"]:
            table = change["table"]
            if table in COLUMNS:
                database.execute(f"DELETE FROM {table} WHERE id = ?", (change["id"],))
            if table in COLUMNS and change["operation"] == "put":
                row = [change["id"], *(change["data"].get(column) for column in COLUMNS[table])]
                database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        database.execute("DELETE FROM feed")
        database.execute("INSERT INTO feed VALUES (?)", (page["cursor"],))
    return page["more"]


def follow():
    database = opened()
    while True:
        try:
            follow_once(database, wait_s=60)
        except (OSError, Refused) as error:
            print(f"the agent cannot be asked: {error}", file=sys.stderr)
            time.sleep(5)


def show():
    database = opened()
    while follow_once(database, wait_s=0):
        pass
    stock = """SELECT line.id, item_name, batch, quantity FROM item_line AS line
        LEFT JOIN item ON item.id = item_ID ORDER BY item_name, line.id"""
    for line in database.execute(stock):
        print(*line, sep="\t")


def count(line_id, quantity):
    edit = {"table": "item_line", "op": "patch", "id": line_id, "data": {"quantity": float(quantity)}}
    # With a request id a repeated call does no harm, whatever became of the first answer.
    recorded = ask("record", json.dumps(edit).encode(), {"request_id": str(uuid.uuid4())})
    if recorded["last"] is None:
        print("nothing differs, or it stays on this site")
        return
    print(f"recorded as edit {recorded['last']}")
    fate = ask("wait", {"sequence": recorded["last"], "timeout_s": 60})
    print(fate["outcome"] if fate["at_central"] else "it goes to central with the next sync")


def sync():
    result = ask("sync", {}, on_progress=lambda progress: print(json.dumps(progress), flush=True))
    print(result["outcome"])


if __name__ == "__main__":
    verbs = {"follow": follow, "show": show, "count": count, "sync": sync}
    if len(sys.argv) < 2 or sys.argv[1] not in verbs:
        sys.exit(__doc__)
    verbs[sys.argv[1]](*sys.argv[2:])
