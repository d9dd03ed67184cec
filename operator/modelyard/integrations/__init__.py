"""What can be added? One file per engine, model source and signal; they meet in pod parts."""
