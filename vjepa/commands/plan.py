"""Act in an environment by planning with an action-conditioned model.

    vjepa plan --model runs/two_rooms
    vjepa plan --model runs/two_rooms --episodes 100 --policies model random \\
        --horizon 8 --cem.samples 500

Prints the success rate over episodes with a 95 % interval, compared with a random policy, planning with a
model in which nothing moves, and an oracle that plans with the true dynamics. The planner's settings are
those of the run (section `planning`); further options change them, such as --planner mppi. Writes
planning.json to the model folder (for a model on the hub, to a new folder of its name), and a film of some
episodes: the observation, what the model imagines the plan leads to, and the goal.

Exit status: 0 done; 1 an unexpected error; 2 arguments that cannot be used; 75 asked to stop; 130
interrupted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import yaml

from vjepa.config import ConfigError, checks, config_tree, read_config
from vjepa.environments.make import make_env
from vjepa.files import ready_file, results_home
from vjepa.inference.device_options import add_device_options, placed
from vjepa.planning.episodes import EpisodeReport, run_episodes
from vjepa.planning.policies import ModelPolicy
from vjepa.plots.planning import film_episodes
from vjepa.recipes.action.config import PlanningConfig
from vjepa.recipes.action.policies import POLICIES, build_policy
from vjepa.training.stop import command
from vjepa.weights.model_folder import load_action_model

FILMED = 6  # number of episodes

_WITHOUT_GRADIENT = ("copy_last", "oracle")  # policies whose costs do not follow actions, or are numpy's


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options, changes = _parser().parse_known_args(arguments)
    return _plan(options, changes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", required=True, help="Run folder, or the model folder in it.")
    parser.add_argument(
        "--env", help="Name of the environment (default: the one that the run's episodes were recorded in)."
    )
    parser.add_argument("--episodes", type=int, default=100, help="Number of episodes (default 100).")
    parser.add_argument(
        "--steps",
        type=int,
        default=50,
        help="Largest number of environment steps of an episode (default 50).",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="Random seed of starts, goals and planning (default 0)."
    )
    parser.add_argument(
        "--policies",
        nargs="+",
        choices=POLICIES,
        help="Policies to measure: planning with the model, random actions, planning with a model in which "
        "nothing moves, and planning with the true dynamics (default: all; with --planner gradient the first "
        "two, since the costs of the others have no gradient).",
    )
    parser.add_argument(
        "--film",
        type=Path,
        help=f".mp4 file for a film of {FILMED} episodes (default: planning.mp4 beside planning.json).",
    )
    add_device_options(parser)
    return parser


def _plan(options: argparse.Namespace, changes: list[str]) -> int:
    checks.options_at_least(options, episodes=1, steps=1, seed=0)
    model, folder = load_action_model(options.model)
    if "training" not in folder:
        raise ValueError(
            f"{options.model} holds released weights, which know none of the library's environments: give "
            "the folder of a run"
        )
    placed(model, options)
    config = _planning(folder["training"]["planning"], changes)
    policies = _policies(options.policies, config)
    collected = folder["training"]["data"]["collect"]
    name = options.env or (collected or {}).get("env")
    if name is None:
        raise ValueError("the run's episodes are not from one of the library's environments: give --env")
    home = results_home(options.model)
    path, film = ready_file(home / "planning.json"), ready_file(options.film or home / "planning.mp4")
    print(f"{name}, {options.episodes} episodes of {options.steps} steps at most; {_describe(config)}")
    record: dict[str, Any] = {
        "env": name,
        "seed": options.seed,
        "episodes": options.episodes,
        "steps": options.steps,
        "planning": config_tree(config),
    }
    for policy_name in policies:
        env = make_env(name, options.episodes, model.size[0], options.steps)
        policy = build_policy(policy_name, model, folder, config, env, options.seed)
        report = run_episodes(env, policy, options.seed)
        print(report.line(policy_name), flush=True)
        record[policy_name] = _record(report)
        path.write_text(json.dumps(record, indent=2) + "\n")
    if "model" in policies:
        env = make_env(name, FILMED, model.size[0], options.steps)
        policy = build_policy("model", model, folder, config, env, options.seed)
        assert isinstance(policy, ModelPolicy)
        film_episodes(env, policy, model, film, options.seed)
        print(f"film {film}, metrics {path}")
    return 0


def _policies(asked: Sequence[str] | None, config: PlanningConfig) -> list[str]:
    """Return the policies to measure; ValueError if one cannot plan as the configuration says."""
    possible = [name for name in POLICIES if config.planner != "gradient" or name not in _WITHOUT_GRADIENT]
    wrong = [name for name in asked or () if name not in possible]
    if wrong:
        raise ValueError(
            f"--policies has {', '.join(wrong)}, whose costs have no gradient, and planner is gradient: "
            "leave them out, or give --planner cem or mppi"
        )
    return list(asked or possible)


def _planning(known: dict[str, object], changes: list[str]) -> PlanningConfig:
    """Return the planning settings of the run, changed by further arguments."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(known, file)
        file.flush()
        try:
            return read_config(["--config", file.name, *changes], PlanningConfig)
        except ConfigError as error:
            raise ValueError(str(error).replace(f"{file.name}: ", "")) from error


def _describe(config: PlanningConfig) -> str:
    settings = getattr(config, config.planner)
    return (
        f"{config.planner} over {config.horizon} steps, {config.execute} taken at a time, share of the path "
        f"{config.path}: {settings}"
    )


def _record(report: EpisodeReport) -> dict[str, object]:
    return {
        "success": report.rate,
        "interval": report.interval,
        "steps": report.steps_e.tolist(),
        "seconds": round(report.seconds, 2),
        "looks": report.looks,
    }
