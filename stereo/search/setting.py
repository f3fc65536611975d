"""Frozen settings of a search; each preset returns one in full."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from nas.relaxed.path import Computed
from nas.search_config import SearchConfig
from nas.space import SPACES, SearchSpace
from stereo.errors import StereoError
from stereo.sections import Sections

METHODS = ("differentiable", "evolution", "random")

INHERIT = "inherit"
"""As ``relaxed.analog``: whatever the space says."""


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """What is open, and how much of it is computed at a time.

    Attributes:
        space: name in ``nas.space.SPACES``.
        analog: "yes" and "no" open and close the choice between spiking and analog stages,
            "inherit" leaves it as the space has it.
        neurons: types that nodes choose from, with their time constants; empty for the space's.
        sampled: compute one draw of all choices per pass instead of their mixture.
        shared: candidates that never run together share their weights; with ``sampled``.
        draws: networks that are drawn and compared to move the architecture, with ``sampled``; 0
            for the straight-through gradient of one.
        heats: pieces that the held-out batch is cut into, each for ``draws`` networks of its own:
            more networks seen by fewer samples, for the same work.
        finalists: genotypes that are drawn in the end, to be compared with the likeliest one by
            the weights of the search.
        portion: edges look at every ``portion``-th channel only.
        checkpoints: keep the inputs of cells alone, and compute the rest again when going back.
        samples: inferences that a count of energy takes.
        technology: prices, a name or file as for ``energy.profile``.
    """

    space: str = "hybrid_stereo"
    analog: str = INHERIT
    neurons: tuple[str, ...] = ()
    sampled: bool = False
    shared: bool = False
    draws: int = 0
    heats: int = 1
    finalists: int = 0
    portion: int = 1
    checkpoints: bool = False
    samples: int = 1
    technology: str = "45nm-fp32"

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        if self.space not in SPACES:
            raise StereoError(
                f"Unknown search space {self.space!r}; known: {', '.join(sorted(SPACES))}."
            )
        if self.analog not in ("yes", "no", INHERIT):
            raise StereoError(f"relaxed.analog is yes, no or {INHERIT}, got {self.analog!r}.")
        if self.draws < 0 or self.draws == 1 or (self.draws and not self.sampled):
            raise StereoError(
                "relaxed.draws is 0, or 2 and more together with relaxed.sampled=true; got "
                f"{self.draws}."
            )
        if self.heats < 1 or (self.heats > 1 and not self.draws):
            raise StereoError(
                f"relaxed.heats is 1, or more together with relaxed.draws; got {self.heats}."
            )
        if self.finalists < 0:
            raise StereoError(f"relaxed.finalists is not negative, got {self.finalists}.")
        if self.portion < 1 or self.samples < 1:
            raise StereoError("relaxed.portion and relaxed.samples are 1 or more.")

    @property
    def computed(self) -> Computed:
        """How much is computed at a time."""
        return Computed(
            sampled=self.sampled, portion=self.portion, checkpoints=self.checkpoints,
            shared=self.shared,
        )  # fmt: skip

    def build(self) -> SearchSpace:
        """Return the search space as these settings open it."""
        space = SPACES[self.space]()
        changes: dict[str, object] = {}
        if self.analog != INHERIT:
            changes["analog"] = self.analog == "yes"
        if self.neurons:
            changes["neurons"] = self.neurons
        parts = {n: replace(part, **changes) for n, part in space.parts.items()}  # type: ignore[arg-type]
        return replace(space, parts=parts)


@dataclass(frozen=True, kw_only=True)
class TrialSetting:
    """How a single genotype is judged, alike for all methods, and how many are.

    Attributes:
        steps: of a training from scratch on the first half of the data.
        batches: of the second half, on which its loss is the error.
        evaluations: trials of a search by evolution or at random; 0 for as many as time allows.
        seconds: wall time of such a search; 0 for no end.
        population: of evolution.
        sample: of it that competes to be a parent.
        seed: of the trainings.
    """

    steps: int = 200
    batches: int = 16
    evaluations: int = 20
    seconds: float = 0.0
    population: int = 10
    sample: int = 3
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse a trial without a judgment."""
        if min(self.steps, self.batches) < 1 or min(self.evaluations, self.seconds) < 0:
            raise StereoError("A trial needs steps and batches, and limits that are not negative.")
        if not (self.evaluations or self.seconds):
            raise StereoError("A search of trials ends after trials.evaluations or .seconds.")
        if not 1 <= self.sample <= self.population:
            raise StereoError(
                f"trials.sample lies from 1 to trials.population, got {self.sample} and "
                f"{self.population}."
            )


@dataclass(frozen=True, kw_only=True)
class SearchSetting(Sections):
    """Everything that defines a search but its data and its budget.

    Attributes:
        name: of the preset it came from.
        task: name in ``stereo.tasks.TASKS``.
        config: preset of the task that networks are built and trained by.
        changes: fields of that preset that are different while searching.
        relaxed: what is open.
        search: of the method "differentiable".
        trials: of single genotypes.
    """

    name: str
    task: str
    config: str
    changes: Mapping[str, str] = field(default_factory=dict)
    relaxed: Relaxation = field(default_factory=Relaxation)
    search: SearchConfig = field(default_factory=lambda: SearchConfig(steps=1000))
    trials: TrialSetting = field(default_factory=TrialSetting)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if self.relaxed.draws and self.search.second_order:
            raise StereoError(
                "search.second_order goes back through the held-out loss, which networks that are "
                "compared (relaxed.draws) do not; set one of them to 0 or false."
            )
        if self.relaxed.checkpoints and self.search.rectified:
            raise StereoError(
                "relaxed.checkpoints computes again when going back, when neurons are in their "
                "places; set it to false or search.rectified to 0."
            )


Preset = Callable[[], SearchSetting]
SEARCHES: dict[str, Preset] = {}

DEFAULTS = {
    "stereo": "stereo_cpu", "cifar10": "cifar10_cpu", "cifar100": "cifar100_spikedhs",
    "imagenet": "tiny_imagenet_cpu", "cifar10-dvs": "cifar10_dvs", "dvs-gesture": "dvs_gesture",
}  # fmt: skip
"""The search that a task has unless another is named."""


def preset(function: Preset) -> Preset:
    """Register a search under its function's name."""
    SEARCHES[function.__name__] = function
    return function


def find_search(task: str, name: str | None = None) -> SearchSetting:
    """Return the settings of a search.

    Raises:
        StereoError: no such task or preset, or a preset of another task.
    """
    if task not in DEFAULTS:
        raise StereoError(f"There is no task {task!r}; known: {', '.join(DEFAULTS)}.")
    fitting = [n for n, make in SEARCHES.items() if make().task == task]
    chosen = name or DEFAULTS[task]
    if chosen not in fitting:
        raise StereoError(
            f"No search {chosen!r} for the task {task}; known: {', '.join(sorted(fitting))}."
        )
    return SEARCHES[chosen]()


@preset
def stereo_cpu() -> SearchSetting:
    """Stereo on two CPU cores: half the crop, one window per step."""
    return SearchSetting(
        name="stereo_cpu",
        task="stereo",
        config="small",
        changes={"train.crop_height": "96", "train.crop_width": "144"},
        relaxed=Relaxation(
            space="hybrid_stereo", sampled=True, shared=True, draws=4, finalists=30
        ),
        search=SearchConfig(
            steps=1200, warmup=300, rectified=200, optimizer="adamw", lr=3e-3, lr_min=3e-4,
            weight_decay=1e-4, clip=1.0, arch_lr=5e-2, arch_betas=(0.9, 0.999),
            arch_weight_decay=0.0, measure_every=100, checkpoint_every=50,
        ),
    )  # fmt: skip


@preset
def stereo_sparse() -> SearchSetting:
    """The search that found the shipped network: spikes only, few of them, half an hour."""
    base = stereo_cpu()
    return replace(
        base, name="stereo_sparse", config="searched",
        changes={
            **base.changes, "encoding.bins": "1", "network.max_disparity": "48",
            "network.stem_channels": "6", "network.volume_channels": "6", "train.batch": "1",
            "train.spike_weight": "4", "train.synapse_weight": "0", "train.analog_share": "0",
            "train.flashes": "0", "data.generated": "0.5", "data.shift": "0",
        },
        relaxed=replace(base.relaxed, analog="no", neurons=("lif", "alif", "plif"), finalists=16),
        search=replace(base.search, steps=520, warmup=260, rectified=0),
    )  # fmt: skip


@preset
def stereo_spikedhs() -> SearchSetting:
    """The published search for MVSEC: multiplier 4, crops of 200 x 280, its space (GPU)."""
    return SearchSetting(
        name="stereo_spikedhs",
        task="stereo",
        config="spikedhs",
        changes={"network.feature_channels": "4", "network.matching_channels": "4"},
        relaxed=Relaxation(space="spikedhs", checkpoints=True),
        search=SearchConfig(
            steps=31_100, warmup=9_330, lr=0.002, lr_min=0.001, arch_lr=0.002,
            arch_weight_decay=1e-3, measure_every=200, checkpoint_every=200,
        ),
    )  # fmt: skip


@preset
def stereo_tiny() -> SearchSetting:
    """A search of seconds, for tests and for trying a change."""
    return SearchSetting(
        name="stereo_tiny",
        task="stereo",
        config="tiny",
        relaxed=Relaxation(space="tiny_stereo", sampled=True),
        search=SearchConfig(
            steps=4, warmup=1, optimizer="adamw", lr=1e-3, lr_min=1e-4, arch_lr=0.05,
            measure_every=2, checkpoint_every=2,
        ),
        trials=TrialSetting(steps=2, batches=1, evaluations=2, population=2, sample=1),
    )  # fmt: skip


@preset
def cifar10_cpu() -> SearchSetting:
    """CIFAR-10 on two CPU cores: half the widths of the training, a searched path of six layers."""
    return SearchSetting(
        name="cifar10_cpu",
        task="cifar10",
        config="cifar10_cpu",
        changes={"train.batch": "64", "network.channels": "8"},
        relaxed=Relaxation(
            space="hybrid_images", sampled=True, shared=True, draws=4, finalists=40, samples=16
        ),
        search=SearchConfig(
            steps=550, warmup=200, optimizer="adamw", lr=3e-3, lr_min=3e-4, weight_decay=0.02,
            clip=1.0, arch_lr=5e-2, arch_betas=(0.9, 0.999), arch_weight_decay=0.0,
            measure_every=100, checkpoint_every=50,
        ),
        trials=TrialSetting(steps=400, batches=20),
    )  # fmt: skip


@preset
def cifar10_spikedhs() -> SearchSetting:
    """The published search on CIFAR-10: multiplier 8, T = 6, 50 epochs of batches of 100 (GPU)."""
    return _published("cifar10_spikedhs", "cifar10")


@preset
def cifar100_spikedhs() -> SearchSetting:
    """The same on CIFAR-100."""
    return _published("cifar100_spikedhs", "cifar100")


@preset
def tiny_imagenet_cpu() -> SearchSetting:
    """Folders of small pictures on two CPU cores."""
    base = cifar10_cpu()
    return replace(base, name="tiny_imagenet_cpu", task="imagenet", config="tiny_imagenet_cpu")


@preset
def cifar10_dvs() -> SearchSetting:
    """CIFAR10-DVS."""
    base = cifar10_cpu()
    return replace(
        base, name="cifar10_dvs", task="cifar10-dvs", config="cifar10_dvs",
        changes={"train.batch": "16", "network.channels": "8"},
        relaxed=replace(base.relaxed, samples=4),
    )  # fmt: skip


@preset
def dvs_gesture() -> SearchSetting:
    """DVS-Gesture."""
    base = cifar10_dvs()
    return replace(base, name="dvs_gesture", task="dvs-gesture", config="dvs_gesture")


@preset
def tiny_images() -> SearchSetting:
    """A search of seconds on class folders, for tests and for trying a change."""
    return replace(
        stereo_tiny(), name="tiny_images", task="imagenet", config="tiny_images",
        relaxed=Relaxation(space="tiny_images", sampled=True, samples=2),
    )  # fmt: skip


def _published(name: str, task: str) -> SearchSetting:
    batch, images, epochs = 100, 25_000, 50
    return SearchSetting(
        name=name,
        task=task,
        config=name,
        changes={"network.channels": "8", "network.auxiliary": "-1", "train.batch": str(batch)},
        relaxed=Relaxation(space="spikedhs_cifar", samples=16),
        search=SearchConfig(
            steps=epochs * images // batch, lr=0.4, lr_min=1e-3, arch_lr=1e-3,
            arch_weight_decay=1e-3, measure_every=250, checkpoint_every=250,
        ),
    )  # fmt: skip
