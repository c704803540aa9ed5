"""What a process does with blocks of rows: it decides on them, and tells of them once their ids are known."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from riskloop.batch.outputs import Form, rendered
from riskloop.batch.scorer import Done, Scorer, Todo
from riskloop.core.types import Bools, Floats
from riskloop.scoring.answers import told_columns

if TYPE_CHECKING:
    import pyarrow as pa


class Numbered(NamedTuple):
    """Consecutive decisions that a block is told of with."""

    first_id: int
    scored_at: int = 0  # microseconds
    probabilities: Floats | None = None  # None: those that were decided here a moment ago
    declined: Bools | None = None


class BlockWorker:
    """Decides on blocks, one after the other; several may wait to be told of."""

    def __init__(self, scorer: Scorer, form: Form | None) -> None:
        self._scorer, self._form = scorer, form  # no form: nothing will be told
        self._waiting: dict[int, tuple[bytes, Done]] = {}  # by number
        self._written: list[str] = []  # paths of the files, none of which is registered yet

    def score(self, number: int, todo: Todo) -> Done:
        """What became of a block, without its rows; those wait for `tell` where any can be decided on."""
        done = self._scorer(todo, back=self._form in ("csv", "arrow"))
        if done.written is not None:
            self._written.append(done.written.path)
        if self._form is not None and len(done.kept) and not done.columns:
            self._waiting[number] = todo.content, done
        return done._replace(probabilities=None, declined=None, table=None)

    def tell(self, number: int, parts: Sequence[Numbered]) -> "pa.Buffer | pa.Table":
        """The rows of a block with their predictions, in the form of the output."""
        import pyarrow as pa

        content, done = self._waiting.pop(number)
        told = [self._columns(done, part) for part in parts]
        columns = told[0] if len(told) == 1 else {k: pa.concat_arrays([t[k] for t in told]) for k in told[0]}
        return rendered(content if done.table is None else done.table, done.kept, columns, self._form or "arrow")

    def remove(self) -> None:
        """Remove the files that were written: nobody will register them."""
        self._scorer.files.remove(self._written)

    def _columns(self, done: Done, part: Numbered) -> "dict[str, pa.Array]":
        model = self._scorer.model
        if part.probabilities is not None and part.declined is not None:
            return told_columns(model, part.probabilities, part.declined, part.first_id, part.scored_at)
        if done.probabilities is None or done.declined is None:
            raise ValueError("nothing was decided on this block")
        return told_columns(model, done.probabilities, done.declined, part.first_id, done.scored_at)
