"""The action-conditioned predictor.

What it sees, what it is told, and an independent reference of V-JEPA 2-AC's.
"""

import pytest
import torch
from torch.nn import functional as F

from tests.models.builders import SPACE, A, B, D, Q, T, make_model
from vjepa.models.action_predictor import ActionPredictor, frame_causal_mask

S = SPACE[0] * SPACE[1]
EVERY = pytest.mark.parametrize("conditioning", ["tokens", "adaln"])


def make(conditioning="tokens", seed=0, **options):
    torch.manual_seed(seed)
    options = {"action_size": A, "state_size": Q, "predicts_state": True, **options}
    predictor = ActionPredictor(
        in_dim=D, embed_dim=48, depth=2, num_heads=4, conditioning=conditioning, **options
    )
    for parameter in predictor.parameters():  # away from the identity that it begins as
        torch.nn.init.normal_(parameter, std=0.1)
    return predictor.eval()


def inputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(B, T, *shape, generator=generator) for shape in ((S, D), (A,), (Q,)))


@EVERY
@torch.no_grad()
def test_what_comes_later_changes_nothing(conditioning):
    predictor = make(conditioning)
    tokens, actions, states = inputs()
    before = predictor(tokens, actions, states, SPACE)
    for time in range(1, T):
        changed = [part.clone() for part in (tokens, actions, states)]
        for part in changed:
            part[:, time:] += 1.0
        after = predictor(*changed, SPACE)
        assert torch.equal(after.tokens_BTSD[:, :time], before.tokens_BTSD[:, :time])
        assert torch.equal(after.states_BTQ[:, :time], before.states_BTQ[:, :time])
        assert not torch.allclose(after.tokens_BTSD[:, time:], before.tokens_BTSD[:, time:])


@EVERY
@torch.no_grad()
def test_every_token_of_a_frame_sees_all_of_it_its_action_and_its_state(conditioning):
    predictor = make(conditioning)
    given = inputs()
    before = predictor(*given, SPACE).tokens_BTSD
    for number, place in ((0, (slice(None), 1, 4)), (1, (slice(None), 1)), (2, (slice(None), 1))):
        changed = [part.clone() for part in given]
        changed[number][place] += 1.0
        difference = (predictor(*changed, SPACE).tokens_BTSD - before).abs().amax(dim=(0, 3))
        assert (difference[1:] > 1e-6).all()
        assert (difference[0] == 0).all()


@EVERY
@torch.no_grad()
def test_a_prefix_is_predicted_as_in_the_whole(conditioning):
    """The mask is made for the length in use."""
    predictor = make(conditioning)
    tokens, actions, states = inputs()
    whole = predictor(tokens, actions, states, SPACE).tokens_BTSD
    for end in range(1, T + 1):
        part = predictor(tokens[:, :end], actions[:, :end], states[:, :end], SPACE).tokens_BTSD
        torch.testing.assert_close(part, whole[:, :end], atol=1e-5, rtol=1e-5)
    assert frame_causal_mask(1, 7) is None
    assert frame_causal_mask(2, 1).tolist() == [[True, False], [True, True]]


@EVERY
@torch.no_grad()
def test_without_actions_it_predicts_the_next_frame(conditioning):
    predictor = make(conditioning, action_size=0, state_size=0, predicts_state=False)
    tokens = inputs()[0]
    following = predictor(tokens, None, None, SPACE)
    assert following.tokens_BTSD.shape == tokens.shape
    assert following.states_BTQ is None


def test_adaln_begins_as_the_identity_of_its_blocks():
    torch.manual_seed(0)
    predictor = ActionPredictor(
        in_dim=D, embed_dim=48, depth=2, num_heads=4, conditioning="adaln", action_size=A
    )
    tokens, actions, _ = inputs()
    plain = predictor.proj(predictor.norm(predictor.embed(tokens)))
    torch.testing.assert_close(predictor(tokens, actions, None, SPACE).tokens_BTSD, plain)


@torch.no_grad()
def test_normalised_predictions_have_no_scale_of_their_own():
    predicted = make(normalised=True)(*inputs(), SPACE).tokens_BTSD
    torch.testing.assert_close(predicted.mean(dim=-1), torch.zeros(B, T, S), atol=1e-5, rtol=0)
    torch.testing.assert_close(predicted.std(dim=-1, unbiased=False), torch.ones(B, T, S), atol=1e-2, rtol=0)


# The reference, written from the mechanics of V-JEPA 2-AC (arXiv 2506.09985): per head, time, row and column
# each turn
# two halves of a third of the width by angles that are repeated as a whole; action and state tokens turn by
# time alone.


def turned(x_TGhd, position, embed_dim):
    frequency = 10_000.0 ** -(torch.arange(embed_dim // 2, dtype=torch.float64) / (embed_dim // 2))
    angle = (position.double()[:, None] * frequency).repeat(1, 2).float()
    pairs = x_TGhd.unflatten(-1, (-1, 2))
    rotated = torch.stack([-pairs[..., 1], pairs[..., 0]], dim=-1).flatten(-2)
    return x_TGhd * angle.cos() + rotated * angle.sin()


def reference(predictor, tokens, actions, states):
    num_heads, embed_dim = 4, 48
    each = 2 * ((embed_dim // num_heads // 3) // 2)
    conditions = [predictor.action_embed(actions), predictor.state_embed(states)]
    x = torch.cat([*(part[:, :, None] for part in conditions), predictor.embed(tokens)], dim=2).flatten(1, 2)
    groups = 2 + S
    time = torch.arange(T).repeat_interleave(groups)
    place = torch.tensor([0, 0, *range(S)]).repeat(T)
    positions = (time, place // SPACE[1], place % SPACE[1])
    condition = torch.tensor([True, True] + [False] * S).repeat(T)
    for block in predictor.blocks:
        qkv = block.attn.qkv(block.norm1(x)).reshape(B, T * groups, 3, num_heads, embed_dim // num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        for axis, position in enumerate(positions):
            part = slice(axis * each, (axis + 1) * each)
            for values in (q, k):
                new = turned(values[..., part].clone(), position, each)
                if axis:
                    new = torch.where(condition[:, None], values[..., part], new)
                values[..., part] = new
        score = q @ k.transpose(-1, -2) / (embed_dim // num_heads) ** 0.5
        score = score.masked_fill(time[:, None] < time[None], -torch.inf)
        x = x + block.attn.proj((score.softmax(-1) @ v).transpose(1, 2).flatten(2))
        x = x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(x))))
    x = x.unflatten(1, (T, groups))[:, :, 2:]
    return predictor.proj(predictor.norm(x))


@torch.no_grad()
def test_the_released_predictor_s_numbers():
    predictor = make(rotary_layout="tile", predicts_state=False)
    given = inputs()
    predicted = predictor(*given, SPACE).tokens_BTSD
    torch.testing.assert_close(predicted, reference(predictor, *given), atol=1e-5, rtol=1e-4)


def test_bad_input_is_named():
    predictor = make()
    tokens, actions, states = inputs()
    with pytest.raises(ValueError, match=r"actions have shape \(2, 4, 4\).*\(2, 4, 5\)"):
        predictor(tokens, actions[..., :4], states, SPACE)
    with pytest.raises(ValueError, match=r"states have shape None.*takes \(2, 4, 3\)"):
        predictor(tokens, actions, None, SPACE)
    with pytest.raises(ValueError, match="6 tokens and space is"):
        predictor(tokens, actions, states, (2, 2))
    with pytest.raises(ValueError, match="no state to predict"):
        ActionPredictor(in_dim=4, embed_dim=12, depth=1, num_heads=1, predicts_state=True)


@pytest.mark.parametrize(("pool", "places"), [("none", 6), ("mean", 1), ("flatten", 1)])
@torch.no_grad()
def test_frames_are_embedded_each_by_itself(pool, places):
    model = make_model(pool=pool, pool_dim=10)
    video = torch.randint(0, 256, (2, 3, 3, 16, 24), dtype=torch.uint8)
    tokens = model.encode(video)
    assert tokens.shape == (2, 3, places, 24 if pool == "none" else 10)
    torch.testing.assert_close(model.encode(video[:, 1:2])[:, 0], tokens[:, 1], atol=1e-5, rtol=1e-5)
    if pool == "none":  # a frame fills a tubelet by repetition
        still = video[:, :1].expand(-1, 2, -1, -1, -1)
        torch.testing.assert_close(model.encoder(model.normalizer(still)), tokens[:, 0], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"frames have \(16, 16\) pixels"):
        model.encode(video[..., :16])


@torch.no_grad()
def test_imagining_is_predicting_again_and_again():
    model = make_model()
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 2, 6, 24, generator=generator)
    actions = 1 + 2 * torch.randn(2, 4, A, generator=generator)
    states = 3 * torch.randn(2, 2, Q, generator=generator) - 1
    found = model.imagine(tokens, actions, states)
    frames, known = tokens, (states + 1) / 3
    for step in range(3):
        recent = slice(step, step + 2)  # the model looks back on two frames
        following = model.dynamics(frames[:, recent], (actions[:, recent] - 1) / 2, known[:, recent], (2, 3))
        frames = torch.cat([frames, following.tokens_BTSD[:, -1:]], dim=1)
        known = torch.cat([known, following.states_BTQ[:, -1:]], dim=1)
    torch.testing.assert_close(found.tokens_BFSD, frames[:, 2:])
    torch.testing.assert_close(found.states_BFQ, known[:, 2:] * 3 - 1)


@torch.no_grad()
def test_known_kinematics_stand_in_for_predicted_states():
    model = make_model()
    tokens, actions, states = torch.zeros(1, 1, 6, 24), torch.ones(1, 3, A), torch.ones(1, 1, Q)
    found = model.imagine(tokens, actions, states, lambda state, action: state + action[:, :Q])
    torch.testing.assert_close(found.states_BFQ[0, :, 0], torch.tensor([2.0, 3.0, 4.0]))
    with pytest.raises(ValueError, match="1 actions for 2 frames"):
        model.imagine(tokens.expand(-1, 2, -1, -1), actions[:, :1], states.expand(-1, 2, -1))
