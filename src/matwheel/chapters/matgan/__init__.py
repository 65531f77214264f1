"""MatGAN: tables, maps and figures of millions of compositions."""
