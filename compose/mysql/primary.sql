-- The first primary needs nothing more.
DO 0;
