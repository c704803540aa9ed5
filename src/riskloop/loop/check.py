"""Rows that nobody has decided on yet, looked at as a window would be: nothing is logged and no case is opened."""

from typing import Any

import numpy as np

from riskloop.core.types import Json
from riskloop.decide.diagnosis import diagnose
from riskloop.loop.champion import load
from riskloop.loop.examine import Arrived, at_closing
from riskloop.monitor.frames import coded
from riskloop.store.documents import plain
from riskloop.store.home import Home


def check(home: Home, source: Any, where: str = "The data") -> Json:
    """Diagnosis and findings of a file, frame, Arrow table or batch against the champion's history."""
    champion = load(home, home.champion().version)
    features, times, found = coded(source, champion.model.schema, where)
    scores = champion.model.probabilities(features) if len(features) else np.empty(0)
    profile = champion.reference.profile(features, scores, times if len(times) else None)
    found += at_closing(champion, home.settings, Arrived(profile, features, scores, times))
    answer = diagnose(found, [], home.settings.drift)
    return {
        "rows": len(features),
        "model_version": champion.version,
        "diagnosis": answer.diagnosis.value,
        "sentence": answer.sentence,
        "rungs": plain(answer.rungs),
        "findings": plain(found),
    }
