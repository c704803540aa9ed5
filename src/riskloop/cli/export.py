"""`riskloop export`: a model version for other tools."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from riskloop.cli.options import CONFIG, ConfigOption, JsonOption, open_portfolio
from riskloop.console import Console
from riskloop.core.errors import ConfigError

VersionArgument = Annotated[int, typer.Argument(help="The model version.")]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="The file; by default named after the version.")]

app = typer.Typer(help="A model version as a table, as SQL, as one Python file, or in MLflow.", no_args_is_help=True)


@app.command("scorecard")
def export_scorecard(
    version: VersionArgument,
    kind: Annotated[Literal["csv", "xlsx", "sql"], typer.Option("--format", help="csv, xlsx or sql.")] = "csv",
    out: OutOption = None,
    dialect: Annotated[str, typer.Option(help="sql: postgresql, snowflake, bigquery or duckdb.")] = "postgresql",
    table: Annotated[str, typer.Option(help="sql: the table with the customers.")] = "customers",
    base: Annotated[float, typer.Option(help="Points of a customer with the odds below.")] = 600.0,
    odds: Annotated[float, typer.Option(help="Good customers for a bad one at that score.")] = 30.0,
    double: Annotated[float, typer.Option(help="Points that double the odds.")] = 20.0,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write a scorecard as a table with its points, or as a query that scores in a database."""
    path = out or Path(f"scorecard-{version}.{kind}")
    portfolio = open_portfolio(config)
    portfolio.export(version, path, dialect=dialect, table=table, base=base, odds=odds, double=double)
    Console(as_json).answer({"version": version, "file": str(path)}, f"Version {version} is in {path}.")


@app.command("mlflow")
def export_mlflow(
    version: VersionArgument,
    uri: Annotated[str | None, typer.Option(help="The tracking server; by default mlflow.mirror.")] = None,
    name: Annotated[str | None, typer.Option(help="The registered model; by default the portfolio's name.")] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Register a version in MLflow: code and its artefact folder, nothing pickled."""
    found = open_portfolio(config).export_mlflow(version, uri, name=name)
    Console(as_json).answer(found, f"Version {version} is version {found['number']} of '{found['name']}' in MLflow.")


@app.command("python")
def export_python(
    version: VersionArgument, out: OutOption = None, config: ConfigOption = CONFIG, as_json: JsonOption = False
) -> None:
    """Write a scorecard or boosted trees as one Python file that needs no package."""
    path = out or Path(f"model_{version}.py")
    open_portfolio(config).export(version, path)
    Console(as_json).answer({"version": version, "file": str(path)}, f"Version {version} is in {path}.")


@app.command("schema")
def export_schema(
    kind: Annotated[Literal["pandera", "json-schema"], typer.Option("--format", help="pandera or json-schema.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file; by default rows.py or rows.json.")] = None,
    version: Annotated[int | None, typer.Option(help="A version's; by default that of riskloop.toml.")] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write what rows have to look like, for tools that check them before riskloop does."""
    suffix = ".py" if kind == "pandera" else ".json"
    path = out or Path(f"rows{suffix}")
    if path.suffix != suffix:
        raise ConfigError(f"{path.name} must end in {suffix} for --format {kind}.")
    open_portfolio(config).export_schema(path, version)
    Console(as_json).answer({"format": kind, "file": str(path)}, f"The schema is in {path}.")
