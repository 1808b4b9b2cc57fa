"""Whatever happens to a BatchJob, and however late or often it is seen, it comes to its end."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock_operator.actions import Action
from penstock_operator.edits import as_stored
from penstock_operator.observed import Observed
from penstock_operator.reconcile import decide
from tests.unit.operator.world import SHARDS, World, job

FILE = {"file": {"path": "out.jsonl"}}
ROUNDS = 200
ROLES = st.sampled_from(["plan", "work", "export"])


class Life(RuleBasedStateMachine):
    """Operator, pods, users and accidents take turns in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(job(output=FILE))
        self.late: list[tuple[Action, ...]] = []
        self.old: list[Observed] = []

    @rule()
    def reconcile(self) -> None:
        for action in decide(self.world.look()).actions:
            self.world.apply(action)

    @rule()
    def look_and_act_later(self) -> None:
        """The operator is slow, or dies between a decision and its action."""
        self.late.append(decide(self.world.look()).actions)

    @precondition(lambda self: self.late)
    @rule(data=st.data(), parts=st.integers(0, 3))
    def act_late(self, data: st.DataObject, parts: int) -> None:
        actions = self.late.pop(data.draw(st.integers(0, len(self.late) - 1)))
        for action in actions[:parts]:
            self.world.apply(action)

    @rule()
    def work(self) -> None:
        self.world.work()

    @rule(seconds=st.sampled_from([1.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(role=ROLES)
    def lose(self, role: str) -> None:
        self.world.lose(role)

    @rule()
    def workers_use_up_their_back_off(self) -> None:
        self.world.fail("work")

    @rule()
    def pause(self) -> None:
        self.world.pause()

    @rule(suspend=st.booleans())
    def suspend(self, suspend: bool) -> None:
        self.world.edit(suspend=suspend)

    @rule(most=st.integers(1, 20))
    def scale(self, most: int) -> None:
        self.world.edit(scaling={"maxParallelism": most})

    @precondition(lambda self: self.world.manifest.spec.rerun < 3)
    @rule()
    def rerun(self) -> None:
        self.world.edit(rerun=self.world.manifest.spec.rerun + 1)

    @invariant()
    def one_run_at_a_time(self) -> None:
        assert all(one.ended for one in self.world.runs[:-1])

    @invariant()
    def no_shard_is_done_twice(self) -> None:
        assert all(count <= SHARDS for count in self.world.begun.values())

    def teardown(self) -> None:
        """Left in peace, resumed and looked at, it is Complete, with nothing left over."""
        world = self.world
        world.edit(suspend=False, scaling={"maxParallelism": 9})
        for _ in range(ROUNDS):
            for action in decide(world.look()).actions:
                world.apply(action)
            world.work()
            world.now += 5.0
        assert world.runs[-1].phase == "Complete"
        assert world.runs[-1].manifest.spec.rerun == world.manifest.spec.rerun
        assert world.runs[-1].number in world.written
        assert not [one for one in world.jobs.values() if not one.ended]
        assert decide(world.look()).actions == ()


TestLife = Life.TestCase
TestLife.settings = settings(stateful_step_count=40)


@given(phases=st.lists(st.booleans(), max_size=12))
def test_deciding_again_asks_for_nothing_more(phases: list[bool]) -> None:
    """Once its actions are carried out, the same decision is not made again at that moment."""
    world = World(job(output=FILE))
    for works in phases:
        if works:
            world.work()
        for action in decide(world.look()).actions:
            world.apply(action)
        again = [action for action in decide(world.look()).actions if action_stays(action, world)]
        assert again == []


def action_stays(action: Action, world: World) -> bool:
    """Whether carrying it out changes nothing, so that it would be asked for without end."""
    before = (list(world.runs), dict(world.jobs), world.gone)
    world.apply(action)
    return before == (world.runs, world.jobs, world.gone)


def test_as_stored_is_what_is_stored() -> None:
    assert as_stored(as_stored(job(suspend=True))) == as_stored(job())
