"""COCO-Stuff (Caesar, Uijlings and Ferrari 2018): 182 names in the order of its labels.txt, ids 0-181, 255 void.

A line is ``name | colour | class``; without a class, nothing outdoors fits. The data set has no colours of its own.
"""

TABLE = """
person |  | person
bicycle |  | bicycle
car |  | car
motorcycle |  | bicycle
airplane
bus |  | car
train |  | car
truck |  | car
boat
traffic light |  | sign
fire hydrant |  | pole
street sign |  | sign
stop sign |  | sign
parking meter |  | pole
bench
bird
cat
dog
horse
sheep
cow
elephant
bear
zebra
giraffe
hat
backpack
umbrella
shoe
eye glasses
handbag
tie
suitcase
frisbee
skis
snowboard
sports ball
kite
baseball bat
baseball glove
skateboard
surfboard
tennis racket
bottle
plate
wine glass
cup
fork
knife
spoon
bowl
banana
apple
sandwich
orange
broccoli
carrot
hot dog
pizza
donut
cake
chair
couch
potted plant |  | vegetation
bed
mirror
dining table
window
desk
toilet
door
tv
laptop
mouse
remote
keyboard
cell phone
microwave
oven
toaster
sink
refrigerator
blender
book
clock
vase
scissors
teddy bear
hair drier
toothbrush
hair brush
banner |  | sign
blanket
branch |  | vegetation
bridge |  | building
building-other |  | building
bush |  | vegetation
cabinet
cage |  | fence
cardboard
carpet
ceiling-other
ceiling-tile
cloth
clothes
clouds |  | sky
counter
cupboard
curtain
desk-stuff
dirt |  | field
door-stuff |  | building
fence |  | fence
floor-marble
floor-other
floor-stone
floor-tile
floor-wood
flower |  | vegetation
fog |  | sky
food-other
fruit
furniture-other
grass |  | grass
gravel |  | field
ground-other |  | field
hill |  | grass
house |  | building
leaves |  | vegetation
light
mat
metal
mirror-stuff
moss |  | grass
mountain |  | rock
mud |  | field
napkin
net |  | fence
paper
pavement |  | pavement
pillow
plant-other |  | vegetation
plastic
platform |  | pavement
playingfield |  | grass
railing |  | fence
railroad |  | road
river |  | water
road |  | road
rock |  | rock
roof |  | building
rug
salad
sand |  | sand
sea |  | water
shelf
sky-other |  | sky
skyscraper |  | building
snow |  | snow
solid-other
stairs |  | pavement
stone |  | rock
straw |  | field
structural-other |  | building
table
tent |  | building
textile-other
towel
tree |  | vegetation
vegetable
wall-brick |  | building
wall-concrete |  | building
wall-other |  | building
wall-panel |  | building
wall-stone |  | building
wall-tile
wall-wood |  | building
water-other |  | water
waterdrops |  | water
window-blind
window-other |  | building
wood
"""
