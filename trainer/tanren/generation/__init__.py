"""Pictures from prompts: what is asked for, how it is drawn, and how it is kept."""
