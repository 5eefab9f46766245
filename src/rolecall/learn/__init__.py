from rolecall.learn.learning import learn
