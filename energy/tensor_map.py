"""What is known of tensors by identity, for as long as they live."""

from typing import Any

from torch.utils.weak import WeakTensorKeyDictionary


class TensorMap(WeakTensorKeyDictionary):
    """A weak dictionary whose keys are tensors, quick to say that it does not know one.

    Most tensors that a run meets are in none of its dictionaries, and a weak reference to ask with
    takes longer to make than a small operation to run. An identity that was never a key cannot be
    one; one that was may belong to another tensor by now, which the dictionary itself finds out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ever: set[int] = set()

    def __setitem__(self, key: Any, value: Any) -> None:
        self._ever.add(id(key))
        super().__setitem__(key, value)

    def __contains__(self, key: object) -> bool:
        return id(key) in self._ever and super().__contains__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return what is known of a tensor."""
        return super().get(key, default) if id(key) in self._ever else default  # type: ignore[no-untyped-call]

    def pop(self, key: Any, *default: Any) -> Any:
        """Forget a tensor."""
        if default and id(key) not in self._ever:
            return default[0]
        return super().pop(key, *default)  # type: ignore[no-untyped-call]
