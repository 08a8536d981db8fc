"""Mathematics of diffusion: schedules, timesteps, noise, losses and samplers."""
