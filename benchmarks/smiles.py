"""How near SVI and SSVI come to marks: through all quotes, and from half of each expiry's strikes.

Half of the strikes of every expiry are drawn and hidden; smiles are fitted to the others and price
the hidden ones. The formulas through the public panel price the same quotes.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from node.evaluation.metrics import Metrics, measure
from node.learning.division import Market
from node.market.pipeline import cleaned_chain
from node.market.samples import Samples
from node.market.sources import quotes_of
from node.models.expiries import visible_half
from node.models.formulas import Pricer, quadratic_smile
from node.models.ssvi import ssvi, ssvi_from
from node.models.svi import svi

FROM_QUOTES: dict[str, Callable[[Samples], Pricer]] = {"svi": svi, "ssvi": ssvi_from}
FROM_PANEL: dict[str, Pricer] = {"ssvi panel": ssvi, "quadratic panel": quadratic_smile}


def compare(window: Samples, seed: int) -> dict[str, Metrics]:
    """Metrics of every smile on one window's quotes."""
    visible = visible_half(window, seed)
    shown, hidden = window.take(visible), window.take(~visible)
    found = {}
    for name, fit in FROM_QUOTES.items():
        found[f"{name}, all visible"] = measure(fit(window)(window), window)
        found[f"{name}, half hidden"] = measure(fit(shown)(hidden), hidden)
    for name, price in FROM_PANEL.items():
        found[f"{name}, half hidden"] = measure(price(hidden), hidden)
    return found


def main() -> None:
    """Print a table for each window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of recorded chains; made up without")
    parser.add_argument("--seed", type=int, default=0, help="which strikes are hidden")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    market = Market.of(cleaned_chain(quotes_of(asked.data, seed=asked.seed)))
    begun, written = time.process_time(), {}
    for name, window in market.windows.items():
        found = compare(window, asked.seed)
        written[name] = {smile: asdict(metrics) for smile, metrics in found.items()}
        print(f"{name}: {len(window)} quotes")
        for smile, metrics in found.items():
            print(
                f"  {smile:30}{metrics.rmse:8.3f}{metrics.mae:8.3f}{metrics.inside_spread:8.3f}",
                flush=True,
            )
    print(f"{time.process_time() - begun:.1f} CPU s of fits")
    if asked.json:
        asked.json.write_text(json.dumps(written, indent=1))


if __name__ == "__main__":
    main()
