"""Server momentum with nobody to trust: all start their training ahead, along the last aggregate.

Let w_t be the model of round t and c_t = beta (l_t / l_(t-1)) (w_t - w_(t-1)), l the recipe's step
sizes. Everybody can work c_t out of two public models. Who trains from w_t + c_t has

    trained - w_t = its own move + c_t

for an update, and a rule with R(u + c) = R(u) + c makes Nesterov's momentum of it, with a server
that adds nothing:

    w_(t+1) = w_t + c_t + R(own moves).

The contract checks R over the revealed integers as ever. Mean, median, trimmed mean, Krum,
multi-Krum and nearest-neighbour mixing are such rules, to the bit; a clipped mean, ARC and centred
clipping measure lengths from a point of their own, so with them it is momentum only as far as
nobody is clipped.

Source: J. Wang, V. Tantia, N. Ballas, M. Rabbat, "SlowMo: Improving Communication-Efficient
Distributed SGD with Slow Momentum", 2020 (momentum over rounds of local training).
"""

from node.learning.training import TrainingSettings
from node.market.panel import Floats


def starting_point(
    model: Floats, before: Floats, settings: TrainingSettings, round_number: int
) -> Floats:
    """Where a round's local training starts, if the last final round made `model` of `before`.

    Where there was none, its base is not known, or the round does not look ahead, this is the model
    itself.

    Shape: [d], [d] -> [d]
    """
    if not settings.trusts(round_number):
        return model
    ratio = settings.learning_rate_at(round_number) / settings.learning_rate_at(round_number - 1)
    return model + settings.look_ahead * ratio * (model - before)
