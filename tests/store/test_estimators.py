import io
import zipfile

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from riskloop.core.errors import ArtefactError
from riskloop.store.estimators import dump_estimator, load_estimator

X = np.random.default_rng(0).normal(size=(200, 3))
Y = (X[:, 0] > 0).astype(int)


def forest() -> ExtraTreesClassifier:
    return make_pipeline(StandardScaler(), ExtraTreesClassifier(5, random_state=1)).fit(X, Y)


def test_an_estimator_comes_back_as_it_was() -> None:
    fitted = forest()
    loaded = load_estimator(dump_estimator(fitted), "model.skops")
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_equal_estimators_give_equal_bytes() -> None:
    assert dump_estimator(forest()) == dump_estimator(forest())


def test_functions_are_not_stored() -> None:
    """A whole trusted package would let numpy's test helpers run text as code."""
    with pytest.raises(ArtefactError, match="does not trust"):
        dump_estimator(FunctionTransformer(np.testing.assert_equal))


def test_a_file_that_names_other_types_is_not_loaded() -> None:
    source = zipfile.ZipFile(io.BytesIO(dump_estimator(forest())))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as changed:
        for name in source.namelist():
            content = source.read(name)
            if name == "schema.json":
                content = content.replace(b'"StandardScaler"', b'"Popen"').replace(
                    b'"sklearn.preprocessing._data"', b'"subprocess"'
                )
            changed.writestr(name, content)
    with pytest.raises(ArtefactError, match=r"subprocess\.Popen"):
        load_estimator(out.getvalue(), "model.skops")


@pytest.mark.parametrize("content", [b"", b"not a zip", dump_estimator(forest())[:500]])
def test_a_broken_file_is_refused(content: bytes) -> None:
    with pytest.raises(ArtefactError, match="not a skops file"):
        load_estimator(content, "model.skops")
