#!/bin/bash
# A good guess would be: a gradient booster that handles NaN treats it as "missing" whenever it meets one, and where no
# training row had any, it is at least one fixed, neutral choice (the larger branch, as scikit-learn documents).
# True is: LightGBM decides feature by feature, at training time, whether NaN means anything. A feature that no training
# row lacked has missing type None, and at prediction NaN is then read as 0.0, whatever 0.0 means for that feature: an
# unknown temperature becomes the freezing point. scikit-learn's histogram boosting sends it into the larger branch,
# XGBoost into a default branch: three libraries, three answers, none of them an error.
# Source: github.com/microsoft/LightGBM, include/LightGBM/tree.h (NumericalDecision: `if (std::isnan(fval) &&
# missing_type != MissingType::NaN) fval = 0.0`), seen with LightGBM 4.7.0. Date: 2026-11-28.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lightgbm==4.7.0 scikit-learn==1.8.0 numpy==2.3.5
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import lightgbm, numpy, sklearn
from sklearn.ensemble import HistGradientBoostingRegressor

print("lightgbm", lightgbm.__version__, "scikit-learn", sklearn.__version__)
draw = numpy.random.default_rng(0)
kelvin = draw.uniform(200, 400, 4000)  # never near 0, never missing
warm = (kelvin > 250).astype(float)  # three rows in four are 1
rows = kelvin[:, None]
asked = numpy.array([[numpy.nan], [0.0], [210.0], [390.0]])
booster = lightgbm.LGBMRegressor(n_estimators=50, verbose=-1, num_threads=1).fit(rows, warm)
hist = HistGradientBoostingRegressor(max_iter=50).fit(rows, warm)
by_lightgbm, by_sklearn = booster.predict(asked), hist.predict(asked)
print("asked for       NaN, 0, 210, 390")
print("LightGBM:      ", by_lightgbm.round(3))
print("scikit-learn:  ", by_sklearn.round(3))
with_gaps = rows.copy()
with_gaps[::10] = numpy.nan
learned = lightgbm.LGBMRegressor(n_estimators=50, verbose=-1, num_threads=1).fit(with_gaps, warm).predict(asked)
print("LightGBM that has seen NaN:", learned.round(3))
as_zero = by_lightgbm[0] == by_lightgbm[1] and by_lightgbm[0] < 0.1
sys.exit(0 if as_zero and by_sklearn[0] > 0.9 and learned[0] > 0.5 else 1)
PYTHON
echo "as described: NaN is 0.0 to a LightGBM that saw none"
