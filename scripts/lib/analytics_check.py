"""Compares the answers of `crates/statistics/examples/analyze.rs` with statsmodels, pandas, scipy and scikit-learn. Run by scripts/analytics-check.

Prints a line for each comparison, the largest relative difference, and what is known to differ and why; exits 1 when a difference is larger
than it may be.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd
import scipy.stats
import statsmodels.api as sm
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.inspection import permutation_importance
from sklearn.metrics import r2_score
from statsmodels.stats.outliers_influence import variance_inflation_factor
from statsmodels.stats.stattools import durbin_watson
from statsmodels.tsa.stattools import acf

EXAMPLE, SEATTLE = sys.argv[1], sys.argv[2]
FOLDER = tempfile.mkdtemp(prefix="bulrush-analytics-")
RELATIVE = 1e-6
failed = 0


def told(ok, what, found):
    global failed
    failed += not ok
    print(f"{'ok  ' if ok else 'FAIL'} {what}: {found}")


def ours(*arguments):
    environment = dict(os.environ)
    ran = subprocess.run([EXAMPLE, *map(str, arguments)], capture_output=True, text=True, env=environment)
    if ran.returncode:
        sys.exit(f"the example failed: {' '.join(map(str, arguments))}\n{ran.stderr}")
    return json.loads(ran.stdout)


def written(frame, name):
    path = os.path.join(FOLDER, name + ".csv")
    frame.to_csv(path, index=False, float_format="%.17g")
    return path


def off(seen, expected):
    """The relative difference; absolute where a probability is too small to be told from nothing."""
    if seen is None:
        return float("inf")
    if expected == 0 or abs(expected) < 1e-280:
        return abs(seen - expected)
    return abs(seen - expected) / abs(expected)


def near(what, pairs, limit=RELATIVE):
    worst = max(((off(seen, float(expected)), name) for name, seen, expected in pairs), default=(0.0, "nothing"))
    told(worst[0] <= limit, what, f"largest relative difference {worst[0]:.1e} ({worst[1]}), allowed {limit:.0e}")


def descriptions(name, frame, columns):
    path = written(frame, name)
    for column in columns:
        values = frame[column].dropna()
        seen = ours("describe", path, column)
        pairs = [
            ("count", seen["count"], len(values)),
            ("mean", seen["mean"], values.mean()),
            ("sd", seen["sd"], values.std()),
            ("skewness", seen["skewness"], values.skew()),
            *[(key, seen[key], values.quantile(share)) for key, share in
              [("min", 0), ("p5", 0.05), ("q1", 0.25), ("median", 0.5), ("q3", 0.75), ("p95", 0.95), ("max", 1)]],
        ]
        near(f"describe {name}.{column}, pandas", pairs, 1e-10)
    first, second = columns[:2]
    both = frame[[first, second]].dropna()
    seen = ours("correlate", path, first, second)
    pearson, spearman = scipy.stats.pearsonr(*both.values.T), scipy.stats.spearmanr(*both.values.T)
    near(f"correlate {name}.{first} and {second}, scipy", [
        ("pearson", seen["pearson"], pearson.statistic), ("p", seen["pearsonP"], pearson.pvalue),
        ("spearman", seen["spearman"], spearman.statistic), ("p of ranks", seen["spearmanP"], spearman.pvalue)])
    for lag in (1, 7, 12):
        expected = acf(frame[first], nlags=lag, missing="conservative", fft=False)[lag]
        near(f"autocorrelation {name}.{first} at {lag}, statsmodels",
             [("r", ours("autocorrelation", path, first, lag)["autocorrelation"], expected)], 1e-9)


def regressions(name, frame, target, columns, lags, limit=RELATIVE, tolerance=None):
    path = written(frame[[target, *columns]], name)
    design = sm.add_constant(frame[columns].astype(float))
    model = sm.OLS(frame[target].astype(float), design)
    kinds = [("classical", model.fit()), ("hc3", model.fit(cov_type="HC3", use_t=True)),
             (f"hac:{lags}", model.fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True}, use_t=True))]
    for kind, fit in kinds:
        seen = ours("regress", path, target, ",".join(columns), kind, *([tolerance] if tolerance else []))
        pairs, names = [], ["const", *columns]
        if len(seen["coefficients"]) != len(names):
            told(False, f"regress {name} {kind}", f"{seen['dropped']} were dropped")
            continue
        intervals = fit.conf_int()
        for mine, theirs in zip(seen["coefficients"], names):
            pairs += [
                (f"{theirs} estimate", mine["estimate"], fit.params[theirs]),
                (f"{theirs} error", mine["error"], fit.bse[theirs]),
                (f"{theirs} t", mine["t"], fit.tvalues[theirs]),
                (f"{theirs} p", mine["p"], fit.pvalues[theirs]),
            ]
            # An end close to zero is the difference of two near figures: its error counts by the interval's width.
            for end, expected in zip(("low", "high"), intervals.loc[theirs]):
                width = intervals.loc[theirs][1] - intervals.loc[theirs][0]
                pairs.append((f"{theirs} {end}", 1 + (mine[end] - expected) / width, 1.0))
        if kind == "classical":
            classical = fit
            for place, column in enumerate(columns):
                mine = seen["coefficients"][place + 1]
                beta = fit.params[column] * frame[column].std() / frame[target].std()
                partial = fit.tvalues[column] ** 2 / (fit.tvalues[column] ** 2 + fit.df_resid)
                pairs += [
                    (f"{column} beta", mine["beta"], beta),
                    (f"{column} partial R2", mine["partialR2"], partial),
                    (f"{column} VIF", mine["vif"], variance_inflation_factor(design.values, place + 1)),
                ]
            unit = design.values / np.sqrt((design.values ** 2).sum(axis=0))
            pairs += [
                ("R2", seen["r2"], classical.rsquared), ("adjusted R2", seen["adjustedR2"], classical.rsquared_adj),
                ("F", seen["f"]["f"], classical.fvalue), ("p of F", seen["f"]["p"], classical.f_pvalue),
                ("sd of residuals", seen["residualSd"], np.sqrt(classical.scale)),
                ("Durbin-Watson", seen["durbinWatson"], durbin_watson(classical.resid)),
                ("condition number", seen["conditionNumber"], np.linalg.cond(unit)),
            ]
        near(f"regress {name} {kind}, statsmodels ({len(frame)} rows, {len(columns)} columns)", pairs, limit)


def importances(name, frame, target, columns, holdout, rank_limit, r2_limit):
    path = written(frame[[target, *columns]], name + "-importance")
    seen = ours("importance", path, target, ",".join(columns), holdout, 20)
    split = len(frame) - int(np.ceil(len(frame) * holdout))
    x, y = frame[columns].values.astype(float), frame[target].values.astype(float)
    mean = {one["name"]: one["mean"] for one in seen["features"]}
    mine = np.array([mean[column] for column in columns])
    baseline = r2_score(y[split:], np.full(len(y) - split, y[:split].mean()))
    near(f"importance {name}, R2 of the mean", [("R2", 1 + seen["meanScore"]["r2"], 1 + baseline)], 1e-9)
    for model in (HistGradientBoostingRegressor(random_state=0, max_iter=150, learning_rate=0.05, max_leaf_nodes=15,
                                                min_samples_leaf=10, l2_regularization=1.0),
                  GradientBoostingRegressor(random_state=0, n_estimators=150, learning_rate=0.05)):
        model.fit(x[:split], y[:split])
        score = r2_score(y[split:], model.predict(x[split:]))
        theirs = permutation_importance(model, x[split:], y[split:], n_repeats=20, random_state=0).importances_mean
        rank = scipy.stats.spearmanr(mine, theirs).statistic
        # The first two of the diabetes data are as important as each other, within their standard deviations.
        first = int(mine.argmax()) in theirs.argsort()[-2:]
        difference = seen["score"]["r2"] - score
        ok = rank >= rank_limit and difference >= -r2_limit and first
        told(ok, f"importance {name}, {type(model).__name__}",
             f"held-out R2 {seen['score']['r2']:.3f} against {score:.3f} (may be {r2_limit} lower), rank correlation of importances "
             f"{rank:.2f} (at least {rank_limit}), our first column ({columns[int(mine.argmax())]}) is "
             f"{'' if first else 'NOT '}among their first two")


weather = pd.read_csv(SEATTLE, parse_dates=["date"])
weather["temp"] = (weather.temp_max + weather.temp_min) / 2
days = (weather.date - weather.date[0]).dt.days
weather["trend"] = days / 365.25
weather["dayofyear"] = weather.date.dt.dayofyear
weather["weekday"] = weather.date.dt.dayofweek + 1
for month in range(2, 13):
    weather[f"month{month}"] = (weather.date.dt.month == month).astype(int)
for day in range(2, 8):
    weather[f"weekday{day}"] = (weather.weekday == day).astype(int)
months, weekdays = [f"month{n}" for n in range(2, 13)], [f"weekday{n}" for n in range(2, 8)]
longley = sm.datasets.longley.load_pandas().data
co2 = sm.datasets.co2.load_pandas().data.reset_index(drop=True)
co2["week"] = np.arange(len(co2), dtype=float)
diabetes = load_diabetes(as_frame=True, scaled=False).frame

descriptions("seattle", weather, ["temp_max", "precipitation", "wind"])
descriptions("co2", co2, ["co2", "week"])
descriptions("longley", longley, ["TOTEMP", "GNP", "POP"])
regressions("longley", longley, "TOTEMP", ["GNPDEFL", "GNP", "UNEMP", "ARMED", "POP", "YEAR"], 2)
regressions("seattle-wind", weather, "temp_max", ["wind", "precipitation"], 7)
regressions("seattle-controls", weather, "wind", ["temp", "precipitation", *weekdays, *months, "trend"], 7)
regressions("diabetes", diabetes, "target", list(diabetes.columns[:-1]), 3)
weather["before"] = weather.temp_max.shift(1)
importances("seattle", weather.dropna(), "temp_max", ["before", "temp_min", "precipitation", "wind", "dayofyear", "weekday"], 0.2, 0.75, 0.03)
importances("diabetes", diabetes, "target", list(diabetes.columns[:-1]), 0.25, 0.6, 0.05)

print("""
What differs, and why
- HAC errors carry the correction n / (n - k), which statsmodels leaves out unless `use_correction=True`; p-values and intervals are Student's t
  with n - k degrees of freedom for every kind of errors (`use_t=True`), where statsmodels takes the normal distribution for robust ones.
- The condition number is Belsley's, of the columns scaled to length 1; statsmodels prints that of the columns as they are.
- Held-out R2 and importances are of other trees: ours stop where the last 15 % of what is learned from gains no more, and the shuffles are other
  ones. So R2 is compared within a bound and importances by their ranks; columns without importance have ranks by chance.""")
print(f"\n{failed} comparison{'' if failed == 1 else 's'} failed" if failed else "\nall comparisons hold")
sys.exit(1 if failed else 0)
