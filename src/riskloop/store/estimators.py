"""Fitted scikit-learn objects as bytes, without pickle: skops with an audited list of types.

A skops file names the classes that it is made of. Only estimators that skops itself trusts and the parts in
``TRUSTED`` may occur; whole packages are not trusted, because NumPy and SciPy hold functions that run text as code.
"""

import io
import json
import zipfile
from typing import Any, Final

from riskloop.core.errors import ArtefactError

TRUSTED: Final = (
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)


def dump_estimator(estimator: Any) -> bytes:
    """The fitted estimator as a skops file; equal estimators give equal bytes.

    Raises ArtefactError when the estimator has a part that cannot be loaded safely again.
    """
    from skops import io as skops_io

    try:
        content = _canonical(skops_io.dumps(estimator))
    except Exception as error:  # noqa: BLE001 (skops raises what the estimator's own state raises)
        raise ArtefactError(
            f"The estimator {type(estimator).__name__} cannot be stored without pickle: {error}. "
            "Name an estimator of scikit-learn or LightGBM in [learners]."
        ) from None
    _audit(content, type(estimator).__name__)
    return content


def load_estimator(content: bytes, where: str) -> Any:
    """The inverse of :func:`dump_estimator`; audits first. Raises ArtefactError."""
    from skops import io as skops_io

    _audit(content, where)
    try:
        return skops_io.loads(content, trusted=list(TRUSTED))
    except Exception as error:  # noqa: BLE001 (any state of the file may be wrong)
        raise ArtefactError(f"The estimator in {where} cannot be loaded: {error}. Train again.") from None


def _audit(content: bytes, where: str) -> None:
    from skops import io as skops_io

    try:
        found = skops_io.get_untrusted_types(data=content)
    except Exception as error:  # noqa: BLE001 (any state of the file may be wrong)
        raise ArtefactError(f"{where} is not a skops file: {error}. Train again.") from None
    unsafe = sorted(set(found) - set(TRUSTED))
    if unsafe:
        raise ArtefactError(
            f"{where} contains {', '.join(unsafe)}, which riskloop does not trust to load without running code; "
            "use estimators of scikit-learn or LightGBM only."
        )


def _canonical(content: bytes) -> bytes:
    """Replace skops' memory addresses and clock times, which differ from run to run, by counters."""
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}

    def renumber(node: Any) -> None:
        if isinstance(node, dict):
            if "__id__" in node:
                node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
            if isinstance(node.get("file"), str):
                suffix = node["file"].rpartition(".")[2]
                node["file"] = files.setdefault(node["file"], f"{len(files) + 1}.{suffix}")
            for value in node.values():
                renumber(value)
        elif isinstance(node, list):
            for value in node:
                renumber(value)

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        schema = json.loads(source.read("schema.json"))
        renumber(schema)
        for old, new in files.items():
            target.writestr(zipfile.ZipInfo(new), source.read(old), zipfile.ZIP_DEFLATED)
        target.writestr(zipfile.ZipInfo("schema.json"), json.dumps(schema), zipfile.ZIP_DEFLATED)
    return out.getvalue()
