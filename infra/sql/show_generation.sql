-- Make the views through which the served generation is read.
SELECT show_generation()
