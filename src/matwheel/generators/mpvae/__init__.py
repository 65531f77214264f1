"""MPVAE: a variational autoencoder of Wyckoff genes with several properties (WyCryst+, Yamazaki et al.)."""
