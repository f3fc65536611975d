"""Tasks: what training, evaluation and search do their work on.

Adding one takes a file with a ``stereo.tasks.task.Task``, a line in ``TASKS`` and a preset.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stereo.errors import StereoError
from stereo.image_presets import IMAGE_PRESETS
from stereo.presets import PRESETS
from stereo.tasks.events import EventTask
from stereo.tasks.images import ImageTask
from stereo.tasks.stereo import StereoTask
from stereo.tasks.task import Source, Task


@dataclass(frozen=True)
class Family:
    """A task that is not bound to a configuration and data yet.

    Attributes:
        bind: gives the task for a configuration and its data.
        preset: name of the configuration that it has unless another is chosen.
    """

    bind: Callable[[Any, Source], Task]
    preset: str


TASKS = {
    "stereo": Family(StereoTask, "small"),
    "cifar10": Family(ImageTask, "cifar10_cpu"),
    "cifar100": Family(ImageTask, "cifar100_spikedhs"),
    "imagenet": Family(ImageTask, "tiny_imagenet_cpu"),
    "cifar10-dvs": Family(EventTask, "cifar10_dvs"),
    "dvs-gesture": Family(EventTask, "dvs_gesture"),
}
"""By the name that the command line and configurations use."""

ALL_PRESETS: dict[str, Callable[[], Any]] = {**PRESETS, **IMAGE_PRESETS}


def find_task(name: str) -> Family:
    """Return the family of tasks of a name.

    Raises:
        StereoError: there is none.
    """
    if name not in TASKS:
        raise StereoError(f"There is no task {name!r}; known: {', '.join(TASKS)}.")
    return TASKS[name]


def find_config(task: str, preset: str | None = None) -> Any:
    """Return the configuration of a preset of a task.

    Args:
        task: name in ``TASKS``.
        preset: name in ``ALL_PRESETS``; the task's own unless given.

    Raises:
        StereoError: no such task or preset, or a preset of another task.
    """
    name = preset or find_task(task).preset
    find_task(task)
    fitting = sorted(n for n, make in ALL_PRESETS.items() if make().task == task)
    if name not in ALL_PRESETS:
        raise StereoError(
            f"There is no preset {name!r}; known for the task {task}: {', '.join(fitting)}."
        )
    config = ALL_PRESETS[name]()
    if config.task != task:
        raise StereoError(
            f"The preset {name} is for the task {config.task}, not for {task}; choose one of "
            f"{', '.join(fitting)}."
        )
    return config


def bind_task(config: Any, source: Source) -> Task:
    """Return the task of a configuration, bound to its data.

    Raises:
        StereoError: the configuration's task is unknown, or its data are not there.
    """
    return find_task(config.task).bind(config, source)
