"""`seeds`: a dear training can be repeated: what is random in it has a seed, and the platform sets what it can."""

import re
from collections.abc import Mapping

from services.worker.rules.facts import Facts

SEED = "COHORT_SEED"
_DEFAULT_SEED = "0"
_MOST_HASH_SEED = 2**32 - 1
_RANDOM = re.compile(r"\b(torch|tensorflow|keras|jax|flax|sklearn|random|lightning|pytorch_lightning)\b")
# Trainers whose settings have a fixed seed when nobody says anything.
_SEEDED = re.compile(r"seed|random_state|TrainingArguments|(SFT|DPO|GRPO|KTO|ORPO|PPO|Reward)Config\(", re.IGNORECASE)


def refuse(facts: Facts) -> str | None:
    """None, or where to set a seed. Of a program whose text is not known nothing is said."""
    if not (facts.is_dear and facts.trains and facts.program.files):
        return None
    # What the platform adds by itself does not seed a program's own generators.
    given = [f"{name}={value}" for name, value in facts.asked.env.items()]
    told = "\n".join([facts.asked.command, *given, facts.program.text])
    if _SEEDED.search(told) or not _RANDOM.search(facts.program.text):
        return None
    return (
        f"{', '.join(facts.program.main)} uses random numbers and sets no seed, so nobody could repeat this training. "
        f"Seed Python, numpy and the framework at its start, with int(os.environ[{SEED!r}]) or an argument --seed"
    )


def seeded(env: Mapping[str, str], gpus: int) -> dict[str, str]:
    """The step's variables with those that make it repeatable, where it doesn't set them itself."""
    seed = env.get(SEED, _DEFAULT_SEED)
    is_hash_seed = seed.isdecimal() and int(seed) <= _MOST_HASH_SEED
    flags = {SEED: seed, "PYTHONHASHSEED": seed if is_hash_seed else _DEFAULT_SEED}
    if gpus:
        flags["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    return {**flags, **env}
