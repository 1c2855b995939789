"""`python -m deploy.grafana`: write every dashboard's JSON into the chart."""

from deploy.grafana.boards import DIRECTORY, files


def main() -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for stale in DIRECTORY.glob("*.json"):
        stale.unlink()
    for name, text in files().items():
        (DIRECTORY / name).write_text(text)


if __name__ == "__main__":
    main()
