"""Property predictors behind one interface: CGCNN and the baselines beside it, pseudo-labels."""
