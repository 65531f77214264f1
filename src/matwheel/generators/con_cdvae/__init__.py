"""Con-CDVAE: a conditional crystal diffusion variational autoencoder with a latent diffusion prior."""
