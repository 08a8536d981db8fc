"""Model families: what each says about itself."""
