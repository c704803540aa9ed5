"""A model as one Python file without any package, equal to what riskloop scores to 1e-9."""

import json
import math
from pathlib import Path
from typing import Final

from riskloop.core.cells import bare_levels
from riskloop.core.manifest import MAX_LOG_ODDS
from riskloop.core.schema import Feature, Schema
from riskloop.core.types import Json
from riskloop.core.values import MISSING, MISSING_NUMBER, level_text, parse_number
from riskloop.export.plain import PlainModel
from riskloop.scoring.shap import Tree

TEMPLATE: Final = Path(__file__).with_name("standalone.py.txt")
PLACE: Final = 'json.loads(r"""{}""")'


def python_text(model: PlainModel) -> str:
    """The file's text."""
    manifest, levels = model.manifest, model.manifest.risk_levels
    document = {
        "version": model.version,
        "features": [_feature(feature) for feature in model.features],
        "missing": _missing(manifest.schema),
        "steps": None if model.preparation is None else [step.to_json() for step in model.preparation.steps],
        "card": model.card,
        "trees": [_tree(tree) for tree in model.trees],
        "share": model.share,
        "calibration": [manifest.calibration.a, manifest.calibration.b],
        "most": MAX_LOG_ODDS,
        "threshold": manifest.threshold,
        "risk_levels": [levels.low, levels.medium, levels.high],
    }
    # ASCII, and never three quotes in a row; Python reads the Infinity of a split that only what is missing passes.
    text = json.dumps(document)
    template = TEMPLATE.read_text(encoding="utf-8")
    return template.replace(PLACE, f'json.loads(r"""{text}""")')


def _feature(feature: Feature) -> Json:
    low, high = feature.range
    bounded = math.isfinite(low) or math.isfinite(high)
    levels = {level_text(level): code for level, code in feature.codes.items()}
    largest = 1.7976931348623157e308
    return {
        "name": feature.name,
        "levels": levels if feature.kind == "category" else None,
        "bare": bare_levels(feature) if feature.kind == "category" else None,
        "unseen": feature.unseen,
        "nullable": feature.nullable,
        "range": [max(low, -largest), min(high, largest)] if bounded else None,
        "special": list(feature.special),
    }


def _missing(schema: Schema) -> Json:
    """What the reader of files takes for missing: words for a number, words for a level, codes such as -9999."""
    codes = [number for word in schema.missing if not math.isnan(number := parse_number(word))]
    return {
        "numbers": sorted(MISSING_NUMBER.union(schema.missing)),
        "levels": sorted(MISSING.union(schema.missing)),
        "codes": codes,
    }


def _tree(tree: Tree) -> Json:
    return {
        "feature": tree.feature.tolist(),
        "threshold": tree.threshold.tolist(),
        "kind": tree.kind.tolist(),
        "left": tree.left.tolist(),
        "right": tree.right.tolist(),
        "values": tree.values.tolist(),
        "members": [codes.tolist() for codes in tree.members],
    }
