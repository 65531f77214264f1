"""MatGAN: a Wasserstein GAN over compositions (Dan et al., npj Comput. Mater. 6, 84, 2020)."""
