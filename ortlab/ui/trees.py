"""The tree of modules of a profile, made once while a page looks at it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock

from ortlab.analysis.naming import modules
from ortlab.analysis.naming.module_names import Path
from ortlab.analysis.naming.modules import ModuleTree
from ortlab.domain.trace import Profile

Scopes = Mapping[str, Path]
_KEPT = 8
_Key = tuple[int, int, bool]
_found: OrderedDict[_Key, tuple[object, Scopes | None, ModuleTree]] = OrderedDict()
_lock = Lock()


def tree_of(profile: Profile, scopes: Scopes | None = None, *, device: bool = False) -> ModuleTree:
    """The tree of these very nodes; the same object for the same question.

    The nodes stay beside their tree, so that an id is never that of others.
    """
    key = (id(profile.nodes), id(scopes), device)
    with _lock:
        if key in _found:
            _found.move_to_end(key)
            return _found[key][2]
    tree = modules.tree(profile, scopes, device=device)
    with _lock:
        _found[key] = (profile.nodes, scopes, tree)
        while len(_found) > _KEPT:
            _found.popitem(last=False)
    return tree
