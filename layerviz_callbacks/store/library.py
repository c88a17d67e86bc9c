"""h5py, imported only where a file is read or written."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from layerviz_callbacks.errors import LayerVizError


class MissingLibraryError(LayerVizError, ImportError):
    """A library that is an extra of this package is not installed; the message says what to type."""


def h5py_library() -> Any:
    """The module h5py.

    Raises:
        MissingLibraryError: it is not installed.
    """
    return _library("h5py", "Snapshots are kept in HDF5 files", "pip install 'layerviz_callbacks[hdf5]'")


def xarray_library() -> Any:
    """The module xarray.

    Raises:
        MissingLibraryError: it is not installed.
    """
    return _library("xarray", "to_xarray() gives arrays of xarray", "pip install xarray")


def _library(name: str, purpose: str, command: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"{purpose}, and {name} cannot be imported ({error}). Type: {command}"
        ) from error
