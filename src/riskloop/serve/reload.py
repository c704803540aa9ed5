"""Follows the ledger: a promoted model serves within a second, and one that is corrupt never does."""

import asyncio
import logging
from threading import Lock
from typing import Final

from riskloop.core.errors import NotReady, RiskloopError, StorageError
from riskloop.core.types import Promotion
from riskloop.identity.access import Access
from riskloop.scoring.model import Model, load_model
from riskloop.serve.metrics import ServingMetrics
from riskloop.store.home import Home
from riskloop.store.keys import Keys

log = logging.getLogger("riskloop.serve")

LOOK_EVERY: Final = 0.25  # seconds between two looks at the ledger
KEPT_MODELS: Final = 8  # old versions kept loaded, for repeated chunks


class Reloader:
    """Holds the champion. Reading it is reading one reference; replacing it is one assignment.

    Requests in flight keep the model that they began with.
    """

    def __init__(self, home: Home, metrics: ServingMetrics, access: Access) -> None:
        self._home = home
        self._metrics = metrics
        self._access = access
        self._keys = Keys(home.database)
        self._model: Model | None = None
        self._seq = 0  # of the promotion that made it champion
        self._loaded: dict[int, Model] = {}
        self._looking = Lock()
        self._newest = 0  # the last promotion that was looked at, whether its model could be loaded or not
        self.problem: str | None = None  # why the ledger's champion does not serve

    @property
    def model(self) -> Model:
        """The champion; NotReady before there is one."""
        if self._model is None:
            raise NotReady(self.problem or "No model has been promoted yet. Run `riskloop train` first.")
        return self._model

    @property
    def newest(self) -> int:
        """The last promotion that was followed, or was found to be impossible to follow; 0 before there is one."""
        return self._newest

    def look(self) -> None:
        """Read keys and ledger once, and load the champion if it changed. Blocks; never raises."""
        with self._looking:
            try:
                self._access.ring = self._keys.ring()
                promotion = self._home.ledger.champion()
                if promotion is None or promotion.seq < self._seq:
                    self._keep_serving(promotion)
                else:
                    self._take(promotion)
                self._recovered()
            except RiskloopError as error:
                self._failed(error.message)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a new model, the old one must go on serving
                self._failed(f"{type(error).__name__}: {error}")

    async def follow(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await asyncio.to_thread(self.look)

    def version(self, version: int) -> Model:
        """Any version, loaded for old decisions; the champion itself when it is that one."""
        if self._model is not None and self._model.version == version:
            return self._model
        found = self._loaded.pop(version, None) or self._load(version)
        self._loaded[version] = found
        while len(self._loaded) > KEPT_MODELS:
            self._loaded.pop(next(iter(self._loaded)))
        return found

    def _load(self, version: int) -> Model:
        return load_model(self._home.artefact(version), version, spoken=self._home.settings.spoken)

    def _keep_serving(self, promotion: Promotion | None) -> None:
        """A ledger only grows: one that ends earlier than it did brings no former champion back."""
        if self._seq:
            raise StorageError(
                f"The ledger ends at promotion {0 if promotion is None else promotion.seq}, and promotion {self._seq} "
                "serves: somebody deleted it, or restored an older backup. Run `riskloop verify`, then start again."
            )

    def _take(self, promotion: Promotion) -> None:
        if promotion.seq == self._seq:
            return
        try:
            model = self._load(promotion.version)
            _ = model.decoder  # compiled now, not in the first request
            self._model, self._seq = model, promotion.seq
        finally:
            self._newest = promotion.seq
        self._metrics.champion_version = model.version
        log.info(
            "Version %d serves (promotion %d)",
            model.version,
            promotion.seq,
            extra={"action": "champion", "version": model.version, "seq": promotion.seq},
        )

    def _failed(self, problem: str) -> None:
        if problem != self.problem:
            self._metrics.reload_failures += 1
            log.error("The champion was not reloaded: %s", problem, extra={"action": "reload_failed"})
        self.problem = problem
        self._metrics.reload_failing = True

    def _recovered(self) -> None:
        self.problem = None
        self._metrics.reload_failing = False
