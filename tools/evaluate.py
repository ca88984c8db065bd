"""Score features again without a model: by other protocols, with re-ranking, with a ROC, as figures.

``tools/test.py CONFIG CHECKPOINT --dump features.npz`` writes the features. Without ``--protocol`` the
protocol of their data set is used:

    python tools/evaluate.py features.npz --protocol veri776 multi-gallery-shot --rerank --out scores
"""

from __future__ import annotations

import argparse
import sys

from pgan.cli import ArgumentParser, report_errors
from pgan.evaluation.protocols import FPRS, PROTOCOLS, RANKS

_TOP = 5  # images of each ranking that the page shows


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    protocols = "\n".join(f"  {name}: {p.title}" for name, p in PROTOCOLS.items())
    parser = ArgumentParser(__doc__, epilog=f"protocols:\n{protocols}")
    add = parser.add_argument
    add("features", help=".npz file of features")
    add("--protocol", nargs="+", metavar="NAME", help="see below (the data set's own)")
    add("--ranks", nargs="+", type=_rank, default=RANKS, help="the k of Rank-k (%(default)s)")
    add(
        "--fpr", nargs="+", type=_rate, default=FPRS, help="FPRs to report the TPR at (%(default)s)"
    )
    add("--projection", metavar="FILE", help="first apply a file of tools/fit_projection.py")
    add("--expand-queries", type=int, default=0, metavar="K", help="average over K neighbours")
    add("--rerank", action="store_true", help="also score with k-reciprocal re-ranking")
    add("--k1", type=int, default=20, help="neighbours of re-ranking (%(default)s)")
    add("--k2", type=int, default=6, help="neighbours of its query expansion (%(default)s)")
    add(
        "--lambda",
        type=float,
        default=0.3,
        dest="weight",
        help="weight of the original distance (%(default)s)",
    )
    add("--json", metavar="FILE", help="also write the numbers, each with its protocol, as JSON")
    add("--out", metavar="DIR", help="also draw CMC, ROC and a page into this folder")
    add("--data-root", help="with --out: folder of the images, to show the hardest queries")
    add("--device", help="cpu, cuda, cuda:1 ... (a GPU if there is one)")
    return parser.parse_args()


def _rank(text: str) -> int:
    rank = int(text)
    if rank < 1:
        raise argparse.ArgumentTypeError(f"a rank is at least 1, not {rank}")
    return rank


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 <= rate <= 1:
        raise argparse.ArgumentTypeError(f"a rate is from 0 to 1, not {text}")
    return rate


@report_errors
def main() -> int:
    """Score the features, print the table, and write the files that were asked for."""
    args = parse_args()
    from detector.common.files import write_json
    from pgan.evaluation import Refinement, evaluate, load_features, load_projection
    from pgan.evaluation.table import score_table

    features = load_features(args.features)
    if args.projection:
        features = load_projection(args.projection).project(features)
    refined = Refinement(args.expand_queries, args.rerank, args.k1, args.k2, args.weight)
    refinements = [Refinement()] + [refined] * (str(refined) != "none")
    evaluations = [
        evaluate(
            features,
            name,
            refinement=r,
            roc=True,
            top=_TOP if args.data_root and args.out else 0,
            progress=True,
            device=args.device,
        )
        for name in args.protocol or [features.protocol]
        for r in refinements
    ]
    size = "{} images, {} dimensions".format(*features.features.shape)
    print(f"{args.features}: {features.dataset or 'unknown data set'}, {size}\n")
    print(score_table(evaluations, args.ranks, args.fpr), end="\n\n")
    for evaluation in evaluations:
        print(evaluation.describe())
    if args.json:
        results = [evaluation.to_dict(args.ranks, args.fpr) for evaluation in evaluations]
        print(f"written: {write_json(args.json, {'features': args.features, 'results': results})}")
    if args.out:
        from pgan.visualization.evaluation_page import write_evaluation

        names = [
            e.protocol.name + f", {e.refinement}" * (e.refinement != "none") for e in evaluations
        ]
        page = write_evaluation(
            args.out, features, dict(zip(names, evaluations)), args.data_root, top=_TOP
        )
        print(f"written: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
