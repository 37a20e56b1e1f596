#!/usr/bin/env python
"""In the place of clickhouse-client, for clickhouse-driver's tests: one query through the front.

Their tests prepare tables and look at results with clickhouse-client; Debian's is of 2018 and
knows neither the types nor the settings they use. Text is made by the engine (``formatRow``).
"""

import os
import sys

from clickhouse_driver import Client


def main() -> int:
    names = [name.removeprefix("--") for name in sys.argv[1::2]]
    options = dict(zip(names, sys.argv[2::2], strict=True))
    query = options.pop("query")
    place = {"host": options.pop("host"), "port": int(options.pop("port"))}
    database = options.pop("database")
    if options.pop("use_client_time_zone", "0") == "1":
        options["session_timezone"] = os.environ["TZ"]
    try:
        with Client(**place, database=database, settings=options) as client:
            if query.lstrip().upper().startswith(("SELECT", "WITH")):
                formatted = f"SELECT formatRow('TSV', *) FROM ({query})"
                for (row,) in client.execute(formatted, settings={"strings_as_bytes": True}):
                    sys.stdout.buffer.write(row)
            else:
                client.execute(query)
    except Exception as error:  # noqa: BLE001
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
