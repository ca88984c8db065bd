from pgan.evaluation import benchmark


def test_benchmark_reports_the_ratio_of_its_own_times():
    result = benchmark.ranking_benchmark(repeats=1, literal_queries=2)
    assert (result["queries"], result["gallery"]) == (1678, 11579)
    assert result["speedup"] == result["literal_seconds"] / result["seconds"]
    assert result["speedup"] > 5


def test_ranking_module_example_runs():
    import doctest

    import pgan.evaluation.ranking as ranking

    assert doctest.testmod(ranking).failed == 0
    assert doctest.testmod(ranking).attempted >= 3
