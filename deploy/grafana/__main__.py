"""`python -m deploy.grafana`: every dashboard's JSON, written anew."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.grafana.build import as_json
from deploy.grafana.business import BUSINESS
from deploy.grafana.customers import CUSTOMERS
from deploy.grafana.outreach import OUTREACH
from deploy.grafana.pipeline import PIPELINE
from deploy.grafana.touchpoints import TOUCHPOINTS

FOLDER: Final = Path(__file__).with_name("dashboards")
DASHBOARDS: Final = (BUSINESS, CUSTOMERS, TOUCHPOINTS, OUTREACH, PIPELINE)


def main() -> None:
    """Write the files, and remove those of dashboards that are no more."""
    FOLDER.mkdir(exist_ok=True)
    wanted = {FOLDER / f"{one.name}.json": one for one in DASHBOARDS}
    for file in set(FOLDER.glob("*.json")) - wanted.keys():
        file.unlink()
    for file, one in wanted.items():
        file.write_text(as_json(one), encoding="utf-8")


if __name__ == "__main__":
    main()
