"""LightGBM's library through its documented C interface: raw scores in microseconds instead of the wrapper's hundreds.

Importing the Python package would bring pandas and scikit-learn into every API process, only to call two functions.
"""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_int64, c_void_p
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from riskloop.core.errors import ArtefactError
from riskloop.core.types import Floats

FEW_ROWS: Final = 16  # rows up to which calls for single rows cost less than setting up one call for all
_FLOAT64, _RAW, _CONTRIBUTIONS = 1, 1, 3


class Booster:
    """A model in LightGBM's text format. Thread-safe; a row has the same score alone and among others."""

    def __init__(self, text: bytes, where: str, threads: int = 1) -> None:
        """Load ``text``; raises ArtefactError naming ``where`` when LightGBM cannot read it."""
        self._library, self._holding = _libraries()
        self._handle, iterations = c_void_p(), c_int()
        code = self._library.LGBM_BoosterLoadModelFromString(c_char_p(text), byref(iterations), byref(self._handle))
        if code != 0:
            raise ArtefactError(f"LightGBM cannot read {where}: {self._problem()}. Train again.")
        width = c_int()
        self._require(self._library.LGBM_BoosterGetNumFeature(self._handle, byref(width)))
        self.width = int(width.value)
        self._options = f"num_threads={threads} predict_disable_shape_check=false".encode()
        self._fast = c_void_p()
        self._require(
            self._library.LGBM_BoosterPredictForMatSingleRowFastInit(
                self._handle, _RAW, 0, -1, _FLOAT64, self.width, self._options, byref(self._fast)
            )
        )

    def __del__(self) -> None:
        """Give the memory back: a server that lives for months loads many champions."""
        if getattr(self, "_fast", None):
            self._library.LGBM_FastConfigFree(self._fast)
        if getattr(self, "_handle", None):
            self._library.LGBM_BoosterFree(self._handle)

    def raw(self, matrix: Floats) -> Floats:
        """Log-odds of shape (n,) for ``matrix`` (n, width)."""
        matrix = np.ascontiguousarray(matrix, dtype=np.float64)
        n = len(matrix)
        result = np.empty(n)
        if n > FEW_ROWS:
            self._predict(matrix, _RAW, result)
            return result
        length = c_int64()
        row, out, step = matrix.ctypes.data, result.ctypes.data, 8 * self.width
        for i in range(n):
            # A call this short keeps the interpreter: handing it to another thread would cost a thousand times more.
            self._require(
                self._holding.LGBM_BoosterPredictForMatSingleRowFast(
                    self._fast, row + i * step, byref(length), out + 8 * i
                )
            )
        return result

    def contributions(self, matrix: Floats) -> Floats:
        """LightGBM's own SHAP values, shape (n, width + 1); the last column is the expected log-odds."""
        matrix = np.ascontiguousarray(matrix, dtype=np.float64)
        result = np.empty((len(matrix), self.width + 1))
        self._predict(matrix, _CONTRIBUTIONS, result)
        return result

    def _predict(self, matrix: Floats, kind: int, result: Floats) -> None:
        length = c_int64()
        code = self._library.LGBM_BoosterPredictForMat(
            self._handle,
            matrix.ctypes.data,
            _FLOAT64,
            len(matrix),
            matrix.shape[1],
            1,
            kind,
            0,
            -1,
            self._options,
            byref(length),
            result.ctypes.data,
        )
        self._require(code)

    def _require(self, code: int) -> None:
        if code != 0:
            raise ArtefactError(f"LightGBM refused: {self._problem()}.")

    def _problem(self) -> str:
        return str(self._library.LGBM_GetLastError().decode(errors="replace"))


@cache
def _libraries() -> tuple[Any, Any]:
    """LightGBM's shared library twice: calls through the first release the interpreter, through the second keep it."""
    spec = find_spec("lightgbm")
    folders = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    names = ("lib_lightgbm.so", "lib_lightgbm.dylib", "lib_lightgbm.dll")
    found = [
        p for f in folders for name in names for p in (f / "lib" / name, f / "bin" / name, f / name) if p.is_file()
    ]
    if not found:
        raise ArtefactError("LightGBM's library is not installed; install the package 'lightgbm'.")
    pair = ctypes.CDLL(str(found[0])), ctypes.PyDLL(str(found[0]))
    for library in pair:
        _declare(library)
    return pair


def _declare(library: Any) -> None:
    library.LGBM_GetLastError.argtypes, library.LGBM_GetLastError.restype = [], c_char_p
    signatures = {
        "LGBM_BoosterLoadModelFromString": [c_char_p, POINTER(c_int), POINTER(c_void_p)],
        "LGBM_BoosterGetNumFeature": [c_void_p, POINTER(c_int)],
        "LGBM_BoosterFree": [c_void_p],
        "LGBM_FastConfigFree": [c_void_p],
        "LGBM_BoosterPredictForMatSingleRowFastInit": [
            c_void_p, c_int, c_int, c_int, c_int, c_int32, c_char_p, POINTER(c_void_p),
        ],
        "LGBM_BoosterPredictForMatSingleRowFast": [c_void_p, c_void_p, POINTER(c_int64), c_void_p],
        "LGBM_BoosterPredictForMat": [
            c_void_p, c_void_p, c_int, c_int32, c_int32, c_int, c_int, c_int, c_int, c_char_p,
            POINTER(c_int64), c_void_p,
        ],
    }  # fmt: skip
    for name, arguments in signatures.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, c_int
