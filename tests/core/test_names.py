from keras_dr.core.names import class_words


def test_names_of_classes_become_words_for_people() -> None:
    assert class_words("no_dr") == "no DR"
    assert class_words("proliferative") == "proliferative"
    assert class_words("true: no_dr / predicted: mild_npdr .62") == "true: no DR / predicted: mild npdr .62"
