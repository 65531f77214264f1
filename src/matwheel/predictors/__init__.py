"""Property predictors: CGCNN and the baselines beside it."""
