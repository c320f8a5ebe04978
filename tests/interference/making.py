"""Random worlds, one of very many for each number and seed."""

import random

from tests.interference import beside, places, said, things
from tests.interference.world import World


def made(number: int, seed: int, doi_prefix: str) -> World:
    """Return the world of this number."""
    # Worlds that can be had again, not secrets.
    dice = random.Random(f"{seed}-{number}")  # ruff: ignore[S311]
    world = World(number, dice, doi_prefix)
    places.people(world)
    places.organizations(world)
    places.service_accounts(world)
    places.grants_below(world)
    things.objects(world)
    said.statements(world)
    said.activities(world)
    beside.dois(world)
    beside.snapshots(world)
    beside.edits(world)
    beside.others(world)
    beside.saved_searches(world)
    beside.subscriptions(world)
    beside.husks(world)
    beside.prune(world)
    return world
