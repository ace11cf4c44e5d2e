"""Every experiment of this repository: one table of recipes.

A recipe says how a network is trained; together with a seed it is a run. Nothing here needs Keras.
Which learning rate gave a number in the README stands here, and nowhere else.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import get_args

Pixels = int


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. None: the network has no such part, or it is not used.

    What a record keeps of it is what is not None; so whatever may be None is so by default. A field
    that comes later has a default that means what was done before, so that older records stay
    those of the same recipe.
    """

    # Its builder: "model_1" to "model_4" of utils.training.models, or a function of one's own, of
    # the pictures' shape and the number of classes
    network: str | Callable
    epochs: int
    # The network
    width: tuple[int, ...] | None = None  # Model 4: filters of each of the three blocks
    depth: int | None = None  # Model 4: convolutions a block
    dropout: float | None = None  # Model 1: what its rates of dropout are multiplied by
    resize_to: Pixels | None = None  # Models 2, 3: side to which the model enlarges its pictures
    feature_scale: float | None = None  # Model 3: what its head multiplies VGG16's features by
    whitening_images: int | None = None  # Model 4: training pictures that its first layer is set by
    trains: str = "all"  # layers, or "head": on a frozen backbone's features, found once
    # Where its knowledge comes from, beside the labels
    init: str | None = None  # the experiment whose model of the same seed it begins with
    teacher: str | None = None  # the experiment whose model answers in the place of labels
    # The steps
    batch_size: int = 128
    steps_per_epoch: int | None = None  # fewer than all batches of an epoch
    learning_rate: float = 0.2  # at the top of one cycle, for batches of 128; goes with batch_size
    warm_up: float = 0.25  # share of the steps in which the rate rises from zero
    momentum: float = 0.9  # Nesterov, of what SGD trains; Muon has its own
    weight_decay: float = 5e-3  # decoupled: share a step of a kernel of SGD's, times the rate
    bias_lr_scale: float = 1.0  # rate of batch normalisation's biases, as a multiple
    muon_lr_scale: float | None = None  # rate of convolutions by Muon, as a multiple; None: SGD
    label_smoothing: float = 0.0  # share of the target that is spread over all classes
    # The pictures
    translate: Pixels | None = None  # at most, each way, edges reflected
    flip: str | None = None  # "alternate": each picture in every second epoch; or "random"
    cutout: Pixels | None = None  # side of a square that is painted over
    distort: str | None = None  # "augmix": blur, noise, warps; a teacher sees the picture before
    validation_size: float = 0.02  # share of the training pictures held out, or how many

    def __post_init__(self):
        if self.width is not None:
            object.__setattr__(self, "width", tuple(self.width))
        if not self.cutout:
            object.__setattr__(self, "cutout", None)
        _refuse(self)

    def recorded(self):
        """Return what a record says of it: a dict of the fields that are used."""
        used = {name: value for name, value in asdict(self).items() if value is not None}
        if callable(self.network):
            used["network"] = self.network.__name__
        return used | ({"width": list(self.width)} if self.width else {})


def recipe_of(experiment, **changes):
    """Find an experiment's recipe, and what a run of it is called.

    Parameters
    ----------
    experiment : str or Recipe
        A name in `EXPERIMENTS`, to which `experiments.own_recipes.register` adds those of a file
        of one's own, or a recipe.
    **changes
        Fields of the recipe, in the place of its own.

    Returns
    -------
    name : str
        The experiment's, extended by what was changed: "airbench94,epochs=8".
    recipe : Recipe

    Raises
    ------
    ValueError
        If there is no such experiment or field, or a value makes no sense; says what there is.
    """
    name, recipe = ("own", experiment) if isinstance(experiment, Recipe) else (experiment, None)
    if recipe is None and experiment not in EXPERIMENTS:
        raise ValueError(
            f"{experiment!r} is no experiment; there are {', '.join(EXPERIMENTS)}; one of a file "
            "of your own is called my_recipes.py:mine on the command line"
        )
    recipe = recipe or EXPERIMENTS[experiment]
    known = [field.name for field in fields(Recipe)]
    unknown = [field for field in changes if field not in known]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no field of a recipe; there are {', '.join(known)}")
    changed = replace(recipe, **changes)
    for field in changes:
        if getattr(changed, field) != getattr(recipe, field):
            name += f",{field}={written(getattr(changed, field))}"
    return name, changed


def parse(field, text):
    """Return the value of a recipe's field that `text` (str) means: "64,128,128", "0.1", "none".

    ValueError if there is no such field, or its values look otherwise.
    """
    kinds = {item.name: item.type for item in fields(Recipe)}
    if field not in kinds:
        raise ValueError(f"{field!r} is no field of a recipe; there are {', '.join(kinds)}")
    options = get_args(kinds[field]) or (kinds[field],)
    if text.lower() == "none" and type(None) in options:
        return None
    kind = options[0]
    try:
        if field == "width":
            return tuple(int(part) for part in text.replace("-", ",").split(","))
        return kind(text)
    except ValueError:
        raise ValueError(f"{field} is {text!r}, expected {kinds[field]}") from None


def written(value):
    """Return a field's value as a command line and a folder's name have it (str)."""
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return str(value).lower()


def _refuse(recipe):
    for name, least, most in (
        ("epochs", 1, 10**6),
        ("batch_size", 1, 10**6),
        ("steps_per_epoch", 1, 10**6),
        ("whitening_images", 1, 10**6),
        ("learning_rate", 0, 1e39),
        ("bias_lr_scale", 0, 1e6),
        ("muon_lr_scale", 0, 1e6),
        ("warm_up", 0, 1),
        ("momentum", 0, 1),
        ("weight_decay", 0, 1),
        ("label_smoothing", 0, 1),
        ("translate", 0, 31),
        ("cutout", 1, 32),
        ("validation_size", 0, 10**6),
    ):
        value = getattr(recipe, name)
        if value is not None and not least <= value <= most:
            raise ValueError(f"{name} is {value!r}, expected {least} to {most}")
    for name, choices in (
        ("trains", ("all", "head")),
        ("flip", (None, "alternate", "random")),
        ("distort", (None, "augmix")),
    ):
        if getattr(recipe, name) not in choices:
            raise ValueError(f"{name} is {getattr(recipe, name)!r}, expected one of {choices}")
    if recipe.translate is None and (recipe.flip or recipe.cutout):
        raise ValueError(
            f"flip is {recipe.flip!r}, cutout {recipe.cutout}, but translate None: nothing is "
            "augmented; translate=0 only flips and cuts"
        )


# ---- Model 4: Keller Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024

AIRBENCH_SGD = Recipe(
    network="model_4",
    width=(64, 256, 256),
    depth=2,
    epochs=10,
    bias_lr_scale=64.0,  # its biases stand for its scales too
    label_smoothing=0.2,  # ten epochs are too few to become sure
    whitening_images=5120,
    translate=2,
    flip="alternate",
)
AIRBENCH = replace(  # by Muon, as in github.com/KellerJordan/cifar10-airbench
    AIRBENCH_SGD,
    batch_size=500,
    learning_rate=0.1,
    warm_up=0.05,
    momentum=0.85,
    weight_decay=0.015,
    muon_lr_scale=0.3,
    whitening_images=5000,
)
NARROW, WIDE, SMALL = (64, 128, 128), (128, 384, 512), (32, 128, 128)
STRONG = {"translate": 4, "cutout": 12}  # for many epochs

# ---- Model 1

CNN = Recipe(
    network="model_1", dropout=0.0, epochs=30, label_smoothing=0.2, translate=2, flip="alternate"
)
DROPOUT = replace(  # with the dropout that it was published with
    CNN, dropout=1.0, label_smoothing=0.1, translate=1, flip="random", validation_size=0.1
)

# ---- Models 2 and 3: a head on ImageNet's backbones, then all layers

HEAD = Recipe(
    network="model_2",
    trains="head",
    epochs=10,
    learning_rate=0.05,
    label_smoothing=0.1,
    validation_size=0.1,
)
ALL_LAYERS = replace(HEAD, trains="all", epochs=4, learning_rate=0.02, translate=2, flip="random")
# VGG16's features are 12 in the root mean square: brought to the size of its weights, they let the
# head learn at the backbone's rate.
VGG16 = {"network": "model_3", "feature_scale": 1 / 30}

# ---- A network of one's own, in the place of an experiment's name

OWN = Recipe(
    "own",
    epochs=10,
    learning_rate=0.05,  # low enough for networks that don't normalise
    translate=2,
    flip="alternate",
    validation_size=0.1,  # of few pictures, too
)

# ---- The notebook: a short training of each, as many pictures for all, then more of the winner

CHOICE = {"epochs": 2, "steps_per_epoch": 80, "flip": "alternate", "label_smoothing": 0.2}
CANDIDATES = {
    "candidate_model_1": replace(CNN, **CHOICE),
    "candidate_model_2": replace(
        ALL_LAYERS, trains="head", validation_size=0.02, learning_rate=0.2, **CHOICE
    ),
    "candidate_model_3": replace(
        ALL_LAYERS, trains="head", validation_size=0.02, learning_rate=0.3, **VGG16, **CHOICE
    ),
    "candidate_model_4": replace(AIRBENCH_SGD, **CHOICE),
    "candidate_model_4_narrow": replace(AIRBENCH_SGD, width=NARROW, **CHOICE),
}
FINALS = {
    f"{profile}_{candidate.removeprefix('candidate_')}": replace(
        recipe, epochs=epochs, steps_per_epoch=None, init=candidate
    )
    for profile, epochs in (("quick", 5), ("full", 10))
    for candidate, recipe in CANDIDATES.items()
}

EXPERIMENTS = {
    "airbench94": AIRBENCH,
    "airbench94_gpu": AIRBENCH,  # the same where a GPU trains: other sums, so other seeds
    "airbench94_8_epochs": replace(AIRBENCH, epochs=8),
    "airbench94_narrow": replace(AIRBENCH, width=NARROW),
    "airbench94_narrow_5_epochs": replace(AIRBENCH, width=NARROW, epochs=5),
    "airbench96": replace(  # smaller steps for more epochs
        AIRBENCH, width=WIDE, depth=3, epochs=37, muon_lr_scale=0.2, **STRONG
    ),
    "airbench96_sgd": replace(
        AIRBENCH_SGD, width=WIDE, depth=3, epochs=37, learning_rate=0.18, **STRONG
    ),
    "airbench_small": replace(  # the page's: less to compute than Model 1
        AIRBENCH_SGD,
        width=SMALL,
        epochs=180,
        translate=4,
        teacher="airbench96",
        label_smoothing=0.0,  # the teacher has smoothed its answers already
    ),
    "model_1": replace(CNN, epochs=75, teacher="airbench96_sgd", label_smoothing=0.0),
    "model_1_muon": replace(
        CNN,
        **{
            name: getattr(AIRBENCH, name)
            for name in ("batch_size", "learning_rate", "warm_up", "momentum", "weight_decay")
        },
        muon_lr_scale=0.2,
    ),
    "model_1_dropout_first": replace(DROPOUT, epochs=3, steps_per_epoch=80),
    "model_1_dropout": replace(DROPOUT, init="model_1_dropout_first"),
    "mobilenetv2_32_head": HEAD,
    "mobilenetv2_32": replace(ALL_LAYERS, init="mobilenetv2_32_head"),
    "mobilenetv2_96_head": replace(HEAD, resize_to=96),
    "mobilenetv2_96": replace(ALL_LAYERS, resize_to=96, init="mobilenetv2_96_head"),
    "vgg16_head": replace(HEAD, learning_rate=0.3, **VGG16),
    "vgg16_3_epochs": replace(  # an epoch takes half an hour on two cores
        ALL_LAYERS, epochs=3, learning_rate=0.003, init="vgg16_head", **VGG16
    ),
    "vgg16": replace(
        ALL_LAYERS,
        epochs=30,
        learning_rate=0.01,
        flip="alternate",
        validation_size=0.02,
        **STRONG,
        **VGG16,
    ),
    **CANDIDATES,
    **FINALS,
}
# The page's network learns further what it said of clean pictures, of distorted ones; and its twin
# the same without distortion, to tell what is due to it.
FURTHER = {
    "init": "airbench_small",
    "teacher": "airbench_small",
    "epochs": 6,
    "learning_rate": 0.015,  # 0.05 costs 8 points of validation accuracy in the first epoch
    "warm_up": 0.1,
}
EXPERIMENTS["airbench_small_robust"] = replace(
    EXPERIMENTS["airbench_small"], **FURTHER, distort="augmix"
)
EXPERIMENTS["airbench_small_further"] = replace(EXPERIMENTS["airbench_small"], **FURTHER)
