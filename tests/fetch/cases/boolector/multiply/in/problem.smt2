; Squares are never 2 modulo 4 (10 bits), and multiplication distributes: some search.
(set-logic QF_BV)
(declare-const x (_ BitVec 10))
(declare-const y (_ BitVec 10))
(declare-const z (_ BitVec 10))
(assert (or (= ((_ extract 1 0) (bvmul x x)) #b10)
            (distinct (bvmul x (bvadd y z)) (bvadd (bvmul x y) (bvmul x z)))))
(check-sat)
