"""What the words in a metric's name tell: whether it measures anything, which way is better, which data it is of.

Pure vocabulary. Names are split into words at case and punctuation: `valLoss`, `val_loss` and `Val loss` are the same.
"""

import re
from itertools import pairwise
from typing import Literal

Direction = Literal["lower", "higher"]

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# An exception, which is called an error as well, but by what it is of.
_EXCEPTION = re.compile(
    r"[a-z](?<!Absolute)(?<!Squared)(?<!Percentage)(?<!Logarithmic)(?<!Relative)Error$|\.errors?\.|Exception$"
)
_MAX_NAME = 100

_LOWER = frozenset(
    {*("loss", "losses", "nll", "xent", "ce", "bce", "mse", "rmse", "mae", "mape", "rmsle", "err", "error", "errors")}
    | {*("logloss", "perplexity", "ppl", "wer", "cer", "ter", "fid", "cost", "bpb", "bpc", "brier", "regret", "eer")}
)
_LOWER_ENDS = ("loss", "error")
_HIGHER = frozenset(
    {*("acc", "accuracy", "accuracies", "auc", "auroc", "auprc", "aucpr", "precision", "recall", "map", "ap", "miou")}
    | {*("iou", "dice", "bleu", "rouge", "meteor", "cider", "spice", "reward", "rewards", "rew", "return", "returns")}
    | {*("score", "psnr", "ssim", "ndcg", "mrr", "kappa", "mcc", "f", "em", "jaccard", "silhouette", "r")}
)
_HIGHER_ENDS = ("accuracy", "auc")
# A digit is a word of its own: `f1`, `r2`, `top5`, `acc@1`.
_NUMBERED = frozenset({("f", "1"), ("r", "2"), ("top", "1"), ("top", "5"), ("hits", "1"), ("hits", "10"), ("l", "2")})
_OTHER = frozenset(
    {"objective", "metric", "elbo", "correlation", "corr", "inertia", "spearman", "pearson", "likelihood"}
)
# What adversaries and actors minimise goes up and down in health; scales and weights of a loss are settings.
_NO_DIRECTION = frozenset(
    {*("policy", "actor", "critic", "value", "entropy", "gan", "d", "g", "gen", "disc", "adv", "discriminator")}
    | {
        *(
            "generator",
            "scale",
            "weight",
            "coef",
            "grad",
            "norm",
            "lr",
            "rate",
            "std",
            "margin",
            "surrogate",
            "pg",
            "vf",
        )
    }
)
_SPLITS = {
    **{"train": "train", "training": "train", "val": "val", "validation": "val", "valid": "valid", "dev": "dev"},
    **{"eval": "eval", "evaluation": "eval", "test": "test", "testing": "test"},
}
SPLIT_WORD = rf"(?:{'|'.join(sorted(_SPLITS, key=len, reverse=True))})"
_BARE = re.compile(r"[A-Za-z]+(?:1|2)?")
_FILLERS = frozenset(
    {
        "the",
        "a",
        "is",
        "was",
        "got",
        "with",
        "and",
        "at",
        "we",
        "of",
        "to",
        "has",
        "reached",
        "for",
        "done",
        "finished",
        "complete",
        "completed",
        "results",
        "current",
    }
)
_PLACES = frozenset(
    {
        "epoch",
        "epochs",
        "step",
        "steps",
        "iteration",
        "iterations",
        "iter",
        "iters",
        "rank",
        "fold",
        "trial",
        "num_updates",
        "timesteps",
    }
)
_NO_SERIES = frozenset(
    {*("eta", "seed", "pid", "port", "ip", "v_num", "elapsed", "remaining", "it", "batch", "version", "shape", "size")}
    | {
        *(
            "global_step",
            "local_rank",
            "world_size",
            "batch_size",
            "batchsize",
            "batch size",
            "num_workers",
            "timestamp",
        )
    }
    | {
        *(
            "train epoch",
            "eval epoch",
            "test epoch",
            "device",
            "gpu",
            "gpus",
            "max_steps",
            "num_epochs",
            "line",
            "update",
        )
    }
    | {*("global step", "total time", "elapsed time", "best iteration", "bestiteration", "total epochs", "max epochs")}
    | {*("warmup", "warmup_steps", "patience", "counter", "best epoch", "best_epoch", "job", "node", "ts", "wall_time")}
    | {*("epoch_num", "exit code", "exitcode", "code", "status", "errno", "signal", "level", "lineno", "count")}
    | {*("cuda", "cpu", "images", "instances", "support", "num_timesteps", "iterations")}
)


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case."""
    return [word.lower() for word in _WORDS.findall(name)]


def is_measure(name: str) -> bool:
    """Whether the name alone says that a model was measured: a loss, an accuracy, a score; not a learning rate."""
    words = words_of(name)
    if not words or words[-1] in ("scale", "weight", "weights", "coef", "fn", "function", "type", "name", "threshold"):
        return False
    if "best" in words and len(words) > 1 and words[-1] in _SPLITS:
        return True
    if _EXCEPTION.search(name):
        return False
    return any(_is_lower(word) or _is_higher(word) or word in _OTHER for word in words) or _is_numbered(words)


def is_series(name: str) -> bool:
    """Whether a number of this name beside an epoch or a step can be a series: not if it is a setting or a place."""
    low = name.lower()
    if low in _NO_SERIES or low in _PLACES or low.endswith((".py", ".so", ".cpp", ".cc", "warning")):
        return False
    return not _EXCEPTION.search(name)


def direction(name: str) -> Direction | None:
    """Which way the series gets better, None where the name does not say."""
    words = words_of(name)
    if _NO_DIRECTION.intersection(words):
        return None
    is_lower = any(_is_lower(word) for word in words)
    is_higher = any(_is_higher(word) and word not in ("f", "r") for word in words) or _is_numbered(words)
    if is_lower == is_higher:
        return None
    return "lower" if is_lower else "higher"


def is_better(name: str, value: float, other: float) -> bool:
    """Whether a value of this series is better than another one; never where the name does not say."""
    way = direction(name)
    return value < other if way == "lower" else way == "higher" and value > other


def is_held_out(name: str) -> bool:
    """Whether the name says that the data were not those of the training."""
    return any(_SPLITS.get(word, "train") != "train" for word in words_of(name))


def split_of(word: str) -> str | None:
    """The part of the data that a word names, in its usual short form."""
    return _SPLITS.get(word.lower())


def in_split(name: str, split: str | None, is_step: bool) -> str:
    """The name of a series of a part of the data: `loss` on a line of the test is `test_loss`.

    A name that says more than one word is taken to be the program's own. What is printed at each training step, too, is
    called as it is called there; a training epoch's mean is not.
    """
    if split is None or (split == "train" and is_step) or not _BARE.fullmatch(name) or split_of(name):
        return name
    return f"{split}_{name}"


def name_of(phrase: str) -> str:
    """A name as it was printed, joined by underscores, without the words that only lead up to it."""
    words = phrase.split()
    ends = [at for at, word in enumerate(words[:-1]) if word.endswith((".", "!"))]
    words = words[ends[-1] + 1 :] if ends else words
    while len(words) > 1 and (words[0].lower() in _FILLERS or len(words) > 5):
        del words[0]
    return "_".join(words)[:_MAX_NAME]


def _is_lower(word: str) -> bool:
    return word in _LOWER or word.endswith(_LOWER_ENDS)


def _is_higher(word: str) -> bool:
    return (word in _HIGHER and word not in ("f", "r")) or word.endswith(_HIGHER_ENDS)


def _is_numbered(words: list[str]) -> bool:
    return any(pair in _NUMBERED for pair in pairwise(words))
